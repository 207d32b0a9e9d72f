#!lua flags=allow-oom
-- needs: prelude summary history deliveries
-- Whether every open delivery is in a place. ARGV: 1 who asks, 2 ms for which
-- nobody else counts, 3 what: check, count or walk, 4 cursor of a walk.
--   check  counts. Answers {'even', 'odd' or 'many', open, leftovers, in places,
--          how often it was odd}. Many: flows, more than a step looks at
--   count  the same, once in that time for all children, else {'later'}. Odd
--          is an alarm; whoever hears it walks
--   walk   one step: what is in no place is put back into its own. Answers
--          {'more', cursor, repaired}, or {'done', '', repaired, what was
--          booked as leftovers in the end}
-- Leftovers are entries of lists whose delivery went another way: counted
-- when that happens, and when they are dropped (deliveries.lua).
local who, ms, what = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local FLOWS_MAX = 5000
local SLICE = 5000 -- entries of a flow in one step
local SCAN = 300   -- keys of a step
local WALK_MS = 60000
local counters, lock = P .. 'n', P .. 'reconcile'
local seen, flows = P .. 'walk', P .. 'walkflows'

now = clock()

-- ---- counting -------------------------------------------------------------

-- nil: more flows than can be looked at.
local function queued()
    local count, left = 0, FLOWS_MAX
    for _, route in ipairs(call('SMEMBERS', P .. 'routes')) do
        for lane = 0, 3 do
            local tail = lane .. ':' .. route
            local owners = call('LRANGE', P .. 'ring:' .. tail, 0, left)
            left = left - #owners
            if left < 0 then
                return nil
            end
            local is_counted = {}
            for _, owner in ipairs(owners) do
                if not is_counted[owner] then
                    is_counted[owner] = true
                    count = count + call('LLEN', P .. 'q:' .. lane .. ':' ..
                        owner .. ':' .. route)
                end
            end
        end
    end
    return count
end

local function in_places()
    local count = queued()
    if not count then
        return nil
    end
    for lane = 0, 3 do
        count = count + call('ZCARD', P .. 'due:' .. lane)
    end
    for _, child in ipairs(call('ZRANGE', P .. 'workers', 0, -1)) do
        count = count + call('SCARD', P .. 'own:' .. child)
    end
    return count + call('ZCARD', P .. 'held') + call('ZCARD', P .. 'dead') +
        call('LLEN', P .. 'suspect')
end

local function counted()
    local v = call('HMGET', counters, 'accepted', 'final', 'leftovers', 'odd')
    return (tonumber(v[1]) or 0) - (tonumber(v[2]) or 0), tonumber(v[3]) or 0,
        tonumber(v[4]) or 0
end

local function compare()
    local open, leftovers, odd = counted()
    local places = in_places()
    if not places then
        return { 'many', open, leftovers, open + leftovers, odd }
    end
    return { places == open + leftovers and 'even' or 'odd', open, leftovers,
        places, odd }
end

if what == 'check' then
    return compare()
elseif what == 'count' then
    if not call('SET', lock, who, 'NX', 'PX', int(ms)) then
        return { 'later' }
    end
    local answer = compare()
    if answer[1] == 'odd' then
        call('HINCRBY', counters, 'odd', 1)
        call('SET', lock, who, 'PX', WALK_MS)
    end
    return answer
end

-- ---- walking --------------------------------------------------------------

if call('GET', lock) ~= who then
    return { 'done', '', 0, 0 } -- somebody else's by now
end
call('PEXPIRE', lock, WALK_MS)

local function missing(key, id)
    return not call('ZSCORE', key, id)
end

-- From its end, where what came since the flows were walked stands.
local function is_in_list(list, id)
    return call('LPOS', list, id, 'RANK', -1)
end

-- Each puts it into its place, and says whether it was missing there.
local mend = {}

function mend.q(d)
    if d.sc then
        if is_in_list(P .. 'suspect', d.id) then
            return false
        end
    elseif call('SISMEMBER', seen, d.id) == 1 or is_in_list(P .. 'q:' ..
        d.l .. ':' .. d.o .. ':' .. d.r, d.id) then
        return false
    end
    line_up(d, false)
    return true
end

function mend.u(d)
    if not missing(P .. 'due:' .. d.l, d.id) then
        return false
    end
    call('ZADD', P .. 'due:' .. d.l, tonumber(d.du) or now, d.id)
    return true
end

-- Whoever held it is asked for it no more: its lease is over.
function mend.c(d)
    local child = holder(d)
    if call('SISMEMBER', P .. 'own:' .. child, d.id) == 1 and
        not missing(P .. 'workers', child) then
        return false
    end
    call('SADD', P .. 'own:' .. child, d.id)
    call('ZADD', P .. 'workers', 'NX', now, child)
    return true
end

mend.x = mend.c

local function mend_parked(key)
    return function(d)
        if not missing(P .. key, d.id) then
            return false
        end
        call('ZADD', P .. key, d.x > 0 and d.x or now + LIFE_MAX, d.id)
        return true
    end
end

mend.h = mend_parked('held')
mend.k = mend_parked('dead')

local function scan(cursor, pattern)
    local found = call('SCAN', cursor, 'MATCH', P .. pattern, 'COUNT', SCAN)
    return found[1], found[2]
end

-- A flow that is not in its ring is looked at by no claim. Returns how many
-- entries it has then. That of an owner who is being moved is off on purpose.
local function mend_ring(flow)
    local lane, owner, route = string.match(string.sub(flow, #P + 1),
        '^q:(%d):([^:]*):(.*)$')
    local ring = P .. 'ring:' .. lane .. ':' .. route
    if is_leaving(owner) or is_in_list(ring, owner) then
        return 0
    end
    call('RPUSH', ring, owner)
    call('SADD', P .. 'routes', route)
    wake(lane, route)
    return call('LLEN', flow)
end

-- What stands in the flows, so that no search through them is needed. Returns
-- where to go on, and how many it put back.
local function walk_flows(cursor, offset)
    local flow = call('LINDEX', flows, 0)
    if not flow then
        local found
        cursor, found = scan(cursor, 'q:*')
        for _, key in ipairs(found) do
            call('RPUSH', flows, key)
        end
        call('PEXPIRE', flows, 3600000)
        if cursor == '0' and #found == 0 then
            return 'd 0 0', 0
        end
        return 'f ' .. cursor .. ' 0', 0
    end
    local ids = call('LRANGE', flow, offset, offset + SLICE - 1)
    for i = 1, #ids, 500 do
        call('SADD', seen, unpack(ids, i, math.min(i + 499, #ids)))
    end
    call('PEXPIRE', seen, 3600000)
    local repaired = #ids > 0 and mend_ring(flow) or 0
    if #ids == SLICE then
        return 'f ' .. cursor .. ' ' .. int(offset + SLICE), repaired
    end
    call('LPOP', flows)
    if cursor == '0' and call('EXISTS', flows) == 0 then
        return 'd 0 0', repaired
    end
    return 'f ' .. cursor .. ' 0', repaired
end

local function walk_deliveries(cursor)
    local found
    local repaired = 0
    cursor, found = scan(cursor, 'd:*')
    for _, key in ipairs(found) do
        local d = load(string.sub(key, #P + 3))
        if d and d.s and mend[d.s] and mend[d.s](d) then
            repaired = repaired + 1
        end
    end
    return cursor, repaired
end

-- What is odd still are entries without a delivery.
local function finish_walk(repaired)
    local answer = compare()
    local rest = answer[1] == 'odd' and answer[4] - answer[2] - answer[3] or 0
    if rest ~= 0 then
        call('HINCRBY', counters, 'leftovers', rest)
    end
    call('UNLINK', seen, flows, lock)
    return { 'done', '', repaired, rest }
end

local phase, cursor, offset = string.match(ARGV[4], '^(%a) (%d+) (%d+)$')
if phase == 'f' then
    local next_place, repaired = walk_flows(cursor, tonumber(offset))
    return { 'more', next_place, repaired }
end
local repaired
cursor, repaired = walk_deliveries(cursor)
if cursor == '0' then
    return finish_walk(repaired)
end
return { 'more', 'd ' .. cursor .. ' 0', repaired }
