#!lua flags=no-writes
-- needs: prelude traffic
-- What of one owner waits to be claimed, as stats.lua counts it. ARGV: 1 owner.
-- Answers {{queued, when the oldest was due or 0} per lane, now, traffic_of
-- the owner}.
local owner = ARGV[1]
local refusal = no_look(owner)
if refusal then
    return refusal
end
local routes = call('SMEMBERS', P .. 'routes')
local lanes = {}
for lane = 0, 3 do
    local queued, oldest = 0, 0
    for _, route in ipairs(routes) do
        local flow = P .. 'q:' .. lane .. ':' .. owner .. ':' .. route
        local head = call('LINDEX', flow, 0)
        local d = head and call('HMGET', P .. 'd:' .. head, 'f', 'i') or {}
        local due = tonumber(d[1] or string.match(d[2] or '', '^%d+ (%d+)'))
        queued = queued + call('LLEN', flow)
        if due and (oldest == 0 or due < oldest) then
            oldest = due
        end
    end
    lanes[lane + 1] = { queued, oldest }
end
local now = clock()
return { lanes, now, traffic_of(owner, now) }
