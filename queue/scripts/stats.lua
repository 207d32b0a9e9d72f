#!lua flags=no-writes
-- needs: prelude
-- How much waits, and how old it is. Looks at the first 1,000 owners of a
-- lane and route, and at the head of each one's flow; canceled entries that
-- a flow still holds are counted.
-- Answers {{queued, due, created at ms of the oldest or 0} per lane, owned,
-- held, dead, accepted, final, webhook tasks, now}.
local OWNERS_MAX = 1000
local routes = call('SMEMBERS', P .. 'routes')
local lanes = {}

-- The time in a UUIDv7: its first 48 bits.
local function created(id)
    return tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16)
end

for lane = 0, 3 do
    local queued, oldest = 0, 0
    for _, route in ipairs(routes) do
        local ring = P .. 'ring:' .. lane .. ':' .. route
        for _, owner in ipairs(call('LRANGE', ring, 0, OWNERS_MAX - 1)) do
            local flow = P .. 'q:' .. lane .. ':' .. owner .. ':' .. route
            local head = call('LINDEX', flow, 0)
            queued = queued + call('LLEN', flow)
            if head and (oldest == 0 or created(head) < oldest) then
                oldest = created(head)
            end
        end
    end
    lanes[lane + 1] = { queued, call('ZCARD', P .. 'due:' .. lane), oldest }
end
local owned = 0
for _, epoch in ipairs(call('ZRANGE', P .. 'workers', 0, -1)) do
    owned = owned + call('SCARD', P .. 'own:' .. epoch)
end
local counters = call('HMGET', P .. 'n', 'accepted', 'final', 'backlog')
return { lanes, owned, call('ZCARD', P .. 'held'), call('ZCARD', P .. 'dead'),
    counters[1] or 0, counters[2] or 0, counters[3] or 0, clock() }
