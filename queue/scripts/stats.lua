#!lua flags=no-writes
-- needs: prelude traffic
-- How much waits, and how old it is. Looks at the first 1,000 owners of a
-- lane and route, and at the head of each one's flow; canceled entries that
-- a flow still holds are counted.
-- Answers {{queued, due, when the oldest was due or 0} per lane, owned,
-- held, dead, accepted, final, webhook tasks, now, traffic_of all}.
local OWNERS_MAX = 1000
local routes = call('SMEMBERS', P .. 'routes')
local lanes = {}

-- nil: canceled, the entry is a leftover.
local function due_first(id)
    local d = id and call('HMGET', P .. 'd:' .. id, 'f', 'i') or {}
    return tonumber(d[1] or string.match(d[2] or '', '^%d+ (%d+)'))
end

for lane = 0, 3 do
    local queued, oldest = 0, 0
    for _, route in ipairs(routes) do
        local ring = P .. 'ring:' .. lane .. ':' .. route
        for _, owner in ipairs(call('LRANGE', ring, 0, OWNERS_MAX - 1)) do
            local flow = P .. 'q:' .. lane .. ':' .. owner .. ':' .. route
            local due = due_first(call('LINDEX', flow, 0))
            queued = queued + call('LLEN', flow)
            if due and (oldest == 0 or due < oldest) then
                oldest = due
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
local now = clock()
return { lanes, owned, call('ZCARD', P .. 'held'), call('ZCARD', P .. 'dead'),
    counters[1] or 0, counters[2] or 0, counters[3] or 0, now,
    traffic_of('', now) }
