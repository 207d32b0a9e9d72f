#!lua flags=allow-oom
-- needs: prelude tasks
-- fanout DEFAULTS COUNT
-- Takes up to COUNT new events of the owner at the head of evring to the
-- lists of the endpoints that want them; cursor and lists move in one step,
-- so that each event reaches each endpoint once, whoever asks how often.
-- Also refills endpoints that were behind. DEFAULTS: names of the events for
-- endpoints that name none. Pushes no token: who calls claims, too.
-- Answers: the owner ("" when there is none), 1 when it should be called
-- again at once, else 0.
local PUSHES_MAX = 5000 -- some 2 ms; an owner has at most 100 endpoints
local defaults, count = ARGV[1], tonumber(ARGV[2])

local function refill(endpoint)
    local about = call('HMGET', endpoint_key(endpoint), 'owner', 'events',
        'behind', 'enabled')
    if about[4] ~= '1' or not about[3] then
        call('SREM', P .. 'wbehind', endpoint)
        return 0
    end
    if call('LLEN', P .. 'w:' .. endpoint) > WAITING_MAX / 2 then
        return 0
    end
    local entries = call('XRANGE', P .. 'ev:' .. about[1], '(' .. about[3],
        call('GET', P .. 'fan:' .. about[1]) or '-', 'COUNT', count)
    local rest = tasks_push(endpoint, names_of(about[2], defaults), entries,
        kinds_of(entries), about[3])
    if not rest and #entries < count then
        call('HDEL', endpoint_key(endpoint), 'behind')
        call('SREM', P .. 'wbehind', endpoint)
        return 0
    end
    call('HSET', endpoint_key(endpoint), 'behind',
        rest or entries[#entries][1])
    return 1
end

local function fan_out(owner)
    local cursor = call('GET', P .. 'fan:' .. owner) or '0-0'
    local endpoints = call('SMEMBERS', P .. 'r:webhook:' .. owner)
    local most = math.floor(PUSHES_MAX / math.max(#endpoints, 1))
    local entries = call('XRANGE', P .. 'ev:' .. owner, '(' .. cursor, '+',
        'COUNT', math.min(count, most))
    if #entries == 0 then
        return
    end
    local kinds = kinds_of(entries)
    for _, endpoint in ipairs(endpoints) do
        local about = call('HMGET', endpoint_key(endpoint), 'enabled',
            'behind', 'events')
        if about[1] == '1' and not about[2] then
            local rest = tasks_push(endpoint, names_of(about[3], defaults),
                entries, kinds, cursor)
            if rest then
                call('HSET', endpoint_key(endpoint), 'behind', rest)
                call('SADD', P .. 'wbehind', endpoint)
            end
        end
    end
    call('SET', P .. 'fan:' .. owner, entries[#entries][1])
end

local again = 0
for _, endpoint in ipairs(call('SRANDMEMBER', P .. 'wbehind', 4)) do
    again = math.max(again, refill(endpoint))
end
local owner = call('LINDEX', P .. 'evring', 0)
if owner then
    fan_out(owner)
    call('LMOVE', P .. 'evring', P .. 'evring', 'LEFT', 'RIGHT')
end
return {owner or '', again}
