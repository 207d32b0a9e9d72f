#!lua flags=allow-oom
-- needs: prelude summary history deliveries tasks baggage
-- Packs an owner's bag (baggage.lua), a step a call; each can be repeated, also
-- from the start. ARGV: 1 owner, 2 cursor ('': from the start).
-- Answers {next cursor ('': all is packed), 1 if something of his is still
-- under way: then it is asked again, how many this packed}.
local owner, cursor = ARGV[1], ARGV[2]
local SLICE = 200  -- entries of a flow
local SCAN = 200   -- of a sorted set
local LINES = 500  -- of ended
local me = P .. 'o:' .. owner
local bag, flows = bag_key(owner), P .. 'flows:' .. owner
local packed = 0
now = clock()

local function put(text)
    call('RPUSH', bag, text)
    packed = packed + 1
end

local function count(name, by)
    if by ~= 0 then
        call('HINCRBY', P .. 'n', name, int(by))
    end
end

-- From here on nothing of his is handed out: a flow without its place in the
-- ring is off the counters, with its leftovers.
local function leave_rings()
    for _, route in ipairs(call('SMEMBERS', P .. 'routes')) do
        for lane = 0, 3 do
            local tail = lane .. ':' .. route
            if call('LREM', P .. 'ring:' .. tail, 0, owner) > 0 then
                count('accepted', -call('LLEN', P .. 'q:' .. lane .. ':' ..
                    owner .. ':' .. route))
                call('RPUSH', flows, tail)
            end
        end
    end
end

local function pack_suspects()
    for _, id in ipairs(call('LRANGE', P .. 'suspect', 0, -1)) do
        local d = load(id)
        if d and d.o == owner and d.s == 'q' and d.sc then
            call('LREM', P .. 'suspect', 1, id)
            pack(d, 0)
            packed = packed + 1
        end
    end
end

-- What is in a ring already is not put there again.
local function leave_hooks()
    call('LREM', P .. 'evring', 0, owner)
    call('HSET', me, 'ev', 1)
    call('ZREM', P .. 'evold', owner)
    call('ZREM', P .. 'sold', owner)
    call('ZREM', P .. 'dxold', owner)
    call('ZREM', P .. 'ddue', owner)
    for _, endpoint in ipairs(endpoints_of(owner)) do
        call('LREM', P .. 'wring', 0, endpoint)
        call('HSET', endpoint_key(endpoint), 'ring', 1)
        call('SREM', P .. 'wbehind', endpoint)
    end
end

local function begin()
    local frozen = call('HGET', me, 'frozen')
    if frozen == '1' then
        call('HSET', me, 'was', 1)
    end
    call('HSET', me, 'frozen', 'leaving')
    leave_rings()
    pack_suspects()
    leave_hooks()
    return 'f'
end

local function pack_flow()
    local tail = call('LINDEX', flows, 0)
    if not tail then
        return 'w'
    end
    local lane, route = string.match(tail, '^(%d):(.*)$')
    local flow = P .. 'q:' .. lane .. ':' .. owner .. ':' .. route
    local dropped = 0
    local ids = call('LRANGE', flow, 0, SLICE - 1)
    for _, id in ipairs(ids) do
        local d = load(id)
        if d and d.s == 'q' and not d.sc and d.l == lane and d.r == route then
            pack(d, 0)
            packed = packed + 1
        else
            leftovers = leftovers - 1
        end
        dropped = dropped + 1
    end
    count('accepted', dropped) -- it was off them, and pack takes it off again
    call('LTRIM', flow, SLICE, -1)
    if #ids < SLICE then
        call('LPOP', flows)
    end
    return 'f'
end

local function owner_of(id)
    local v = call('HMGET', P .. 'd:' .. id, 'o', 'i')
    return v[1] or string.match(v[2] or '', '^%d+ %d+ %d+ (%S+) ')
end

local function is_under_way()
    for _, endpoint in ipairs(endpoints_of(owner)) do
        local flying = call('HGET', endpoint_key(endpoint), 'flying')
        if (tonumber(flying) or 0) > 0 then
            return true
        end
    end
    for _, epoch in ipairs(call('ZRANGE', P .. 'workers', 0, -1)) do
        for _, id in ipairs(call('SMEMBERS', P .. 'own:' .. epoch)) do
            if owner_of(id) == owner then
                return true
            end
        end
    end
    return false
end

-- ---- what waits in sorted sets --------------------------------------------

local function pack_delivery(key, id, score)
    local d = load(id)
    if d and d.o == owner and call('ZREM', key, id) == 1 then
        pack(d, score)
        packed = packed + 1
    end
end

local is_his -- endpoint -> true

local function pack_task(key, task, score)
    if not is_his then
        is_his = {}
        for _, endpoint in ipairs(endpoints_of(owner)) do
            is_his[endpoint] = true
        end
    end
    local endpoint, id = string.match(task, '^(%S+) (%S+)$')
    if is_his[endpoint] and call('ZREM', key, task) == 1 then
        put('w ' .. score .. ' ' .. task)
        backlog_add(id == '-' and 0 or -1)
    end
end

local function without_body(line)
    return (string.gsub(line, '^(%d+ %d+) %d+', '%1 0', 1))
end

local function put_line(line)
    local _, history, body = string.match(line, LINE)
    put('e ' .. line)
    charged = charged - history - body
end

local function pack_arrived(key, line)
    if select(7, string.match(line, LINE)) ~= owner or
        call('ZREM', key, line) == 0 then
        return
    end
    if call('ZREM', P .. 'arrivedb', line) == 0 then
        line = without_body(line)
    end
    put_line(line)
end

local SETS = {
    { 'due:0', pack_delivery }, { 'due:1', pack_delivery },
    { 'due:2', pack_delivery }, { 'due:3', pack_delivery },
    { 'held', pack_delivery }, { 'dead', pack_delivery },
    { 'wdue', pack_task }, { 'arrived', pack_arrived },
}

local function pack_set(i, from)
    local key, pack_member = P .. SETS[i][1], SETS[i][2]
    local found = call('ZSCAN', key, from, 'COUNT', SCAN)
    for at = 1, #found[2], 2 do
        pack_member(key, found[2][at], found[2][at + 1])
    end
    if found[1] ~= '0' then
        return 'z ' .. i .. ' ' .. found[1]
    end
    return i < #SETS and 'z ' .. int(i + 1) .. ' 0' or 'e 0'
end

-- ---- ended ----------------------------------------------------------------

-- From its end, since the head goes away meanwhile. In the place of a line
-- stays an empty one: a list gives nothing away from its middle.
local function pack_ended(seen)
    local key = P .. 'ended'
    local bodiless = tonumber(call('HGET', P .. 'n', 'bodiless')) or 0
    local stop = call('LLEN', key) - seen - 1
    if stop < 0 then
        return 'p'
    end
    local start = math.max(0, stop - LINES + 1)
    for i, line in ipairs(call('LRANGE', key, start, stop)) do
        local at, _, _, _, _, _, whose = string.match(line, LINE)
        if whose == owner then
            call('LSET', key, start + i - 1, at .. ' 0 0 0 0 - -')
            if start + i - 1 < bodiless then -- and so refunded
                line = without_body(line)
            end
            put_line(line)
        end
    end
    return 'e ' .. int(seen + LINES)
end

local function pack_backlog()
    if call('HSETNX', me, 'packed', 1) == 1 then
        for _, endpoint in ipairs(endpoints_of(owner)) do
            backlog_add(-call('LLEN', P .. 'w:' .. endpoint))
        end
    end
    return ''
end

local phase, a, b = string.match(cursor, '^(%a) ?(%d*) ?(%d*)$')
local busy = 0
if not phase then
    cursor = begin()
elseif phase == 'f' then
    cursor = pack_flow()
elseif phase == 'w' and is_under_way() then
    busy = 1
elseif phase == 'w' then
    cursor = 'z 1 0'
elseif phase == 'z' then
    cursor = pack_set(tonumber(a), b)
elseif phase == 'e' then
    cursor = pack_ended(tonumber(a))
else
    cursor = pack_backlog()
end
settle()
return { cursor, busy, packed }
