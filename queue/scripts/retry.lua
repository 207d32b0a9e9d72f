#!lua flags=allow-oom
-- needs: prelude history deliveries idempotency
-- Sends an email again: what waits, at once; what ended without being sent, as
-- its next generation. ARGV: 1 owner, 2 email, 3 lane, 4 mailboxes,
-- 5 on_unknown (r, h, f), 6 end of the new lives (ms), 7 '1': it is a
-- deadline, 8 hash of the idempotency key ('' none), 9 fingerprint, then per
-- delivery: number, route.
-- The caller has seen whose email it is: the history of a final one does not
-- say. Answers {'ok', how many deliveries are queued now; 0: none may be, or
-- what would be sent is gone}, or what idempotency_look says.
local owner, email, lane = ARGV[1], ARGV[2], ARGV[3]
local on_unknown, ends, is_deadline = ARGV[5], ARGV[6], ARGV[7] == '1'
local hash, fingerprint = ARGV[8], ARGV[9]
local FIRST = 10

local route_of = {}
for i = FIRST, #ARGV, 2 do
    route_of[ARGV[i]] = ARGV[i + 1]
end

-- ---- what is there --------------------------------------------------------

-- One element of "d" in the history: outcome_text in deliveries.lua.
local OUTCOME = '%[(%d+),"(%a)",(%d+),(%d+),(%d+),(%-?%d+,"[^"]*","[^"]*")%]'
local HIDE = { ['\\"'] = '\1', ['\\\\'] = '\2' }
local SHOW = { ['\1'] = '\\"', ['\2'] = '\\\\' }

-- The deliveries of a final email, made again from what close_email wrote.
-- What is escaped is out of the way meanwhile, so that a quote ends a string.
local function from_history(history)
    local head = string.gsub(string.match(history, '^[^\n]*'), '\\["\\]', HIDE)
    local came_back = string.match(head, '"fu":"([^"]*)"') or ''
    local events = string.match(head, '"fq":(%d+)') or 0 -- behind q
    local first = { m = ARGV[4], left = 0,
        sq = int(string.match(head, '^{"q":(%d+)') + events) }
    first.b, first.bj = string.match(head, '"b":(%d+),"bj":(%d+)')
    local all, by_number = {}, {}
    for n, s, g, a, e, outcome in string.gmatch(head, OUTCOME) do
        local id = email .. ':' .. n
        local d = { id = id, key = P .. 'd:' .. id, n = n, s = s,
            g = g, a = a, e = e, k = on_unknown,
            fu = string.match(came_back, ' ' .. n .. '(%a+%d+)'),
            outcome = string.gsub(outcome, '[\1\2]', SHOW) }
        by_number[d.n] = d
        table.insert(all, d)
    end
    for n in string.gmatch(string.match(head, '"dup":%[([%d,]*)') or '',
        '%d+') do
        by_number[n].dup = '1'
    end
    return first, all
end

local function from_deliveries(first)
    local all = {}
    for n = 0, first.m - 1 do
        local d = n == 0 and first or load(email .. ':' .. n)
        if d then
            table.insert(all, d)
        end
    end
    return first, all
end

local function find()
    local first = load(email .. ':0')
    if first then
        return from_deliveries(first)
    end
    local history = call('GET', P .. 'h:' .. email)
    if history then
        return from_history(history)
    end
    return nil
end

-- What was sent would be a plain duplicate; what was superseded has a newer
-- mail in its place.
local function may_reopen(d)
    return string.find('BFPEC', d.s, 1, true) and route_of[d.n]
end

-- ---- what becomes of it ---------------------------------------------------

local is_counted -- its owner's open mails are

-- The next generation: as enqueue.lua makes the first.
local function reopen(d)
    local route = route_of[d.n]
    local args = { 's', 'q', 'l', lane, 'o', owner, 'r', route, 'g',
        int(d.g + 1), 'f', int(now), 'x', ends }
    local function add(name, value)
        table.insert(args, name)
        table.insert(args, value)
    end
    if is_deadline then
        add('dl', 1)
        call('ZADD', P .. 'exp', ends, d.id)
    end
    if d.k and d.k ~= 'r' then
        add('k', d.k)
    end
    if d.dup then
        add('dup', 1)
    end
    if is_counted then
        add('oc', 1)
    end
    call('DEL', d.key)
    call('HSET', d.key, unpack(args))
    flow_push(lane, owner, route, d.id, false)
end

-- One that stays as it ended, of an email that is open again.
local function restore(d)
    local args = { 's', d.s, 'o', owner, 'g', d.g, 'a', d.a, 'e', d.e }
    if d.dup then
        table.insert(args, 'dup')
        table.insert(args, 1)
    end
    if d.fu then
        table.insert(args, 'fu')
        table.insert(args, d.fu)
    end
    add_pieces(args, d.outcome)
    call('HSET', d.key, unpack(args))
end

-- What number 0 has for all.
local function keep_first(first, left)
    local args = { 'm', first.m, 'left', int(left), 'sq', first.sq }
    for _, name in ipairs({ 'b', 'bj', 'ac' }) do
        if first[name] then
            table.insert(args, name)
            table.insert(args, first[name])
        end
    end
    call('HSET', P .. 'd:' .. email .. ':0', unpack(args))
end

-- ---- read first -----------------------------------------------------------

now = clock()
local refusal = no_change(owner)
if refusal then
    return refusal
end
local seen = idempotency_look(owner, hash, fingerprint)
if seen then
    return seen
end
local first, all = find()
if not first then
    return idempotency_acted(owner, hash, fingerprint, 0)
end
local is_closed = not first.key
local waiting, again = {}, {}
local queued = 0
for _, d in ipairs(all) do
    if d.s == 'q' then
        queued = queued + 1
    elseif d.s == 'u' or d.s == 'h' or d.s == 'k' then
        table.insert(waiting, d)
    elseif may_reopen(d) then
        table.insert(again, d)
    end
end
local content = content_keys(email, tonumber(first.b) or 0)
if #again > 0 and call('EXISTS', unpack(content)) < #content then
    again = {}
end

-- ---- write after ----------------------------------------------------------

for _, d in ipairs(waiting) do
    requeue(d, false)
end
if #again > 0 then
    if is_closed then
        for _, key in ipairs(content) do
            call('PERSIST', key)
        end
        call('UNLINK', P .. 'h:' .. email) -- its line in ended is an old one
        first.ac = '1'
        for _, d in ipairs(all) do
            if not may_reopen(d) then
                restore(d)
            end
        end
    end
    is_counted = call('HGET', P .. 'o:' .. owner, 'open')
    for _, d in ipairs(again) do
        reopen(d)
    end
    if is_counted then
        call('HINCRBY', P .. 'o:' .. owner, 'open', #again)
    end
    keep_first(first, first.left + #again)
    call('HINCRBY', P .. 'n', 'final', -#again)
end
return idempotency_acted(owner, hash, fingerprint, queued + #waiting + #again)
