#!lua
-- needs: prelude idempotency
-- Stores one email, or answers as its first request was answered.
--
-- ARGV: 1 owner, 2 email, 3 lane, 4 due in ms (0: now), 5 maximum age in ms,
-- 6 deadline (0: none), 7 on_unknown (r, h, f), 8 hash of the idempotency key
-- ('' none), 9 fingerprint, 10 answer, 11 record, 12 chunks, 13 of them the
-- job's, 14 mailboxes, then per delivery: number, route.
-- Answers {'ok'}, {'frozen'}, {'missing'} (chunks are not there), or as
-- idempotency.lua does.
--
-- Lean: see the count of calls in test_enqueue.c before adding one.
local owner, email, lane = ARGV[1], ARGV[2], ARGV[3]
local due, age, deadline = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local chunks = tonumber(ARGV[12])
local FIRST = 15
local count = (#ARGV - FIRST + 1) / 2

-- Read first.
local now = clock()
local flags = call('HMGET', P .. 'o:' .. owner, 'frozen', 'ev')
if flags[1] then
    return { 'frozen' }
end
local chunk_keys = {}
for i = 0, chunks - 1 do
    chunk_keys[i + 1] = P .. 'b:' .. email .. ':' .. i
end
if chunks > 0 and call('EXISTS', unpack(chunk_keys)) < chunks then
    return { 'missing' }
end
local replay = idempotency_claim(owner, ARGV[8], ARGV[9], '200', ARGV[10])
if replay then
    return replay
end

-- Write after.
local is_scheduled = due > now
if not is_scheduled then
    due = now
end
local ends = deadline
if ends == '0' and age > 0 then
    ends = int(due + age)
end
local due_text, count_text = int(due), int(count)
call('SET', P .. 'c:' .. email, ARGV[11])
for _, key in ipairs(chunk_keys) do
    call('PERSIST', key)
end
for i = FIRST, #ARGV, 2 do
    local number, route = ARGV[i], ARGV[i + 1]
    local id = email .. ':' .. number
    local args = { 's', is_scheduled and 'u' or 'q', 'i', ends .. ' ' ..
        due_text .. ' ' .. lane .. ' ' .. owner .. ' ' .. route }
    local function add(name, value)
        args[#args + 1] = name
        args[#args + 1] = value
    end
    if deadline ~= '0' then
        add('dl', 1)
        call('ZADD', P .. 'exp', deadline, id)
    end
    if ARGV[7] ~= 'r' then
        add('k', ARGV[7])
    end
    if number == '0' and ARGV[14] ~= '1' then
        add('left', count_text)
        add('m', ARGV[14])
        add('sq', '1')
    end
    if number == '0' and chunks > 0 then
        add('b', chunks)
        add('bj', ARGV[13])
    end
    if is_scheduled then
        add('du', due_text)
    end
    call('HSET', P .. 'd:' .. id, unpack(args))
    if is_scheduled then
        local key = P .. 'due:' .. lane
        call('ZADD', key, due_text, id)
        if call('ZRANGE', key, 0, 0)[1] == id then
            wake(lane, route) -- the earliest: whoever waits must know
        end
    else
        flow_push(lane, owner, route, id, false)
    end
end
event(owner, is_scheduled and 'scheduled' or 'queued', email, -1, 1, 1, 1, now,
    is_scheduled and ',"next":' .. due_text or '')
announce(owner, flags[2])
call('HINCRBY', P .. 'n', 'accepted', count_text)
return { 'ok' }
