#!lua
-- needs: prelude idempotency suppressions
-- function end_kept_off: summary history deliveries end_kept_off
-- Stores emails, or answers as the first request of each was answered.
--
-- ARGV: how many deliveries may be open in this partition, and how many of one
-- owner that has no limit of his own (0: any number), keep_bodies in ms; then
-- for each: 1 owner, 2 email, 3 lane, 4 due in ms (0: now), 5 maximum
-- age in ms, 6 deadline (0: none), 7 on_unknown (r, h, f), 8 hash of the
-- idempotency key ('' none), 9 fingerprint, 10 answer, 11 record, 12 chunks,
-- 13 of them the job's, 14 mailboxes, 15 marks for the index (history.lua),
-- 16 deliveries; of each of these number, route and hash of the address.
-- Answers a list for each: {'ok', how many of them no mail goes to}, {'frozen'},
-- {'moved'} (its owner lives in another partition), {'missing'} (chunks are not
-- there), {'full', open} and {'owner_full', open, limit} (a limit), or as
-- idempotency.lua does.
--
-- Lean: see the count of calls in test_enqueue.c before adding one.
local now = clock()
local now_text = int(now)
local accepted = 0
local open_max, owner_open_max = tonumber(ARGV[1]), tonumber(ARGV[2])
local keep_bodies = tonumber(ARGV[3])

local owners = {} -- owner -> flags
local function flags_of(owner)
    owners[owner] = owners[owner] or
        call('HMGET', P .. 'o:' .. owner, 'frozen', 'ev', 'open', 'max', 'sup')
    return owners[owner]
end

-- How many an owner may have open; 0: any number, and nobody counts.
local function limit_of(owner)
    return tonumber(flags_of(owner)[4]) or owner_open_max
end

local NONE = {}
local function chunk_keys(email, chunks)
    if chunks == '0' then
        return NONE
    end
    local keys = {}
    for i = 0, chunks - 1 do
        keys[i + 1] = P .. 'b:' .. email .. ':' .. i
    end
    return keys
end

-- Counted only where a limit asks: what was accepted and is not final, and of
-- an owner what came under his limit (deliveries.lua, oc). nil: there is room.
local open
local opened = {} -- owner -> how many by this call
local function full(owner, flags, count)
    if open_max > 0 then
        if not open then
            local n = call('HMGET', P .. 'n', 'accepted', 'final')
            open = (tonumber(n[1]) or 0) - (tonumber(n[2]) or 0)
        end
        if open + accepted + count > open_max then
            return { 'full', int(open + accepted) }
        end
    end
    local limit = limit_of(owner)
    if limit > 0 then
        local his = (tonumber(flags[3]) or 0) + (opened[owner] or 0)
        if his + count > limit then
            return { 'owner_full', int(his), int(limit) }
        end
    end
end

-- Of the mail whose arguments begin there: numbers of its deliveries to
-- addresses that no mail goes to, each with what its event tells.
local function look_for_kept_off(owner, flags, at)
    if not flags[5] then
        return NONE
    end
    local hashes, list = {}, {}
    for i = at + 18, at + 15 + 3 * ARGV[at + 15], 3 do
        hashes[#hashes + 1] = ARGV[i]
    end
    for i, text in ipairs(call('HMGET', P .. 'su:' .. owner,
        unpack(hashes))) do
        local why = kept_off_by(text, now)
        if why then
            list[#list + 1] = ARGV[at + 13 + 3 * i]
            list[#list + 1] = why
        end
    end
    return list
end

-- Its delivery number n; ends: of its life. One that is kept off is in no
-- place.
local function add_delivery(at, i, is_kept_off, is_scheduled, due, ends)
    local n, route, hash = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local owner, email, lane = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    local mailboxes, count = ARGV[at + 13], ARGV[at + 15]
    local id = email .. ':' .. n
    local args = { 's', is_scheduled and 'u' or 'q',
        'i', ends .. ' ' .. due .. ' ' .. lane .. ' ' .. owner .. ' ' .. route }
    local function add(name, value)
        args[#args + 1] = name
        args[#args + 1] = value
    end
    if ARGV[at + 5] ~= '0' then
        add('dl', 1)
        call('ZADD', P .. 'exp', ends, id)
    end
    if ARGV[at + 6] ~= 'r' then
        add('k', ARGV[at + 6])
    end
    if hash ~= '' then
        add('ad', hash)
    end
    if n == '0' and mailboxes ~= '1' then
        add('left', count)
        add('m', mailboxes)
        add('sq', '1')
    end
    if n == '0' and ARGV[at + 11] ~= '0' then
        add('b', ARGV[at + 11])
        add('bj', ARGV[at + 12])
    end
    if is_scheduled then
        add('du', due)
    end
    if limit_of(owner) > 0 then
        add('oc', 1)
    end
    call('HSET', P .. 'd:' .. id, unpack(args))
    if is_kept_off then
        return
    elseif is_scheduled then
        local key = P .. 'due:' .. lane
        call('ZADD', key, due, id)
        if call('ZRANGE', key, 0, 0)[1] == id then
            wake(lane, route) -- the earliest: whoever waits must know
        end
    else
        flow_push(lane, owner, route, id, false)
    end
end

-- The mail whose arguments begin there.
local function store(at)
    local owner, email = ARGV[at], ARGV[at + 1]
    local due, ends = ARGV[at + 3], ARGV[at + 5]

    -- Read first.
    local flags = flags_of(owner)
    if flags[1] then
        return { flags[1] == 'moved' and 'moved' or 'frozen' }
    end
    local keys = chunk_keys(email, ARGV[at + 11])
    if #keys > 0 and call('EXISTS', unpack(keys)) < #keys then
        return { 'missing' }
    end
    local refusal = full(owner, flags, ARGV[at + 15])
    if refusal then -- but for those who ask again
        return idempotency_look(owner, ARGV[at + 7], ARGV[at + 8]) or refusal
    end
    local kept_off = look_for_kept_off(owner, flags, at)
    local replay = idempotency_claim(owner, ARGV[at + 7], ARGV[at + 8], '200',
        ARGV[at + 9])
    if replay then
        return replay
    end

    -- Write after.
    local is_scheduled = due ~= '0' and tonumber(due) > now
    due = is_scheduled and due or now_text
    if ends == '0' and ARGV[at + 4] ~= '0' then
        ends = int(due + ARGV[at + 4])
    end
    call('SET', P .. 'c:' .. email, ARGV[at + 10])
    for _, key in ipairs(keys) do
        call('PERSIST', key)
    end
    local next_kept_off = 1
    for i = at + 16, at + 13 + 3 * ARGV[at + 15], 3 do
        local is_kept_off = kept_off[next_kept_off] == ARGV[i]
        next_kept_off = next_kept_off + (is_kept_off and 2 or 0)
        add_delivery(at, i, is_kept_off, is_scheduled, due, ends)
    end
    event(owner, is_scheduled and 'scheduled' or 'queued', email, '-1', '1',
        '1', '1', now_text, (is_scheduled and ',"next":' .. due or '') ..
        ',"x":"' .. ARGV[at + 14] .. '"')
    announce(owner, flags[2])
    flags[2] = '1'
    accepted = accepted + ARGV[at + 15]
    opened[owner] = (opened[owner] or 0) + ARGV[at + 15]
    if #kept_off > 0 then
        end_kept_off(now, keep_bodies, email, kept_off)
    end
    return { 'ok', #kept_off / 2 }
end

local answers = {}
local at = 4
while at <= #ARGV do
    answers[#answers + 1] = store(at)
    at = at + 16 + 3 * ARGV[at + 15]
end
if accepted > 0 then
    call('HINCRBY', P .. 'n', 'accepted', int(accepted))
end
for owner, count in pairs(opened) do
    if limit_of(owner) > 0 then
        call('HINCRBY', P .. 'o:' .. owner, 'open', int(count))
    end
end
return answers
