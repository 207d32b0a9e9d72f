-- Looks at all keys of a partition, and holds them against what must be true
-- between any two scripts (walk_audit.h). prelude.lua, history.lua and
-- tasks.lua stand before it.
-- Answers {complaints, lines of what is there, lanes and routes whose work
-- nobody was woken for}. Lines, by blanks, '-' for nothing:
--   d email n state generation attempts dup packed crashes ends due place
--     token alone-token deadline no-route owner until
--   h email n state generation attempts dup
--   c email whole (its content and all chunks are there)
--   o owner frozen
local complaints, lines, unwoken = {}, {}, {}

local function complain(...)
    complaints[#complaints + 1] = string.format(...)
end

local function check(condition, ...)
    if not condition then
        complain(...)
    end
    return condition
end

local function set_of(list)
    local set = {}
    for _, item in ipairs(list) do
        set[item] = (set[item] or 0) + 1
    end
    return set
end

-- ---- the keys -------------------------------------------------------------

-- Which end by themselves: always, never, or by rules of their own.
local TTL = { i = 'always', t = 'always', x = 'always', wt = 'always',
    alone = 'always', reconcile = 'always', walk = 'always',
    walkflows = 'always', tr = 'always', c = 'own', b = 'own' }
for _, kind in ipairs({ 'd', 'h', 'q', 'ring', 'routes', 'due', 'exp', 'held',
    'dead', 'suspect', 'workers', 'own', 'n', 'beat', 'ev', 'evring', 'fan',
    'prj', 'w', 'wring', 'wdue', 'wbehind', 'we', 'wa', 'r', 'whooks', 'wown',
    'wake', 'hwake', 'o', 'keys', 'used', 'su', 'slb', 'slc', 'slm', 'sx',
    'sold', 'ended', 'arrived', 'arrivedb', 'evold', 'bag', 'flows', 'mo',
    'master', 'unsure', 'a' }) do
    TTL[kind] = 'never'
end

local of_kind = {}
local function each(kind)
    return ipairs(of_kind[kind] or {})
end

for _, key in ipairs(call('KEYS', P .. '*')) do
    local name = string.sub(key, #P + 1)
    local kind, rest = string.match(name, '^([^:]*):?(.*)$')
    local rule = TTL[kind]
    if check(rule, 'a key of no known kind: %s', name) and rule ~= 'own' then
        check((call('PTTL', key) >= 0) == (rule == 'always'),
            'its end is wrong: %s', name)
    end
    of_kind[kind] = of_kind[kind] or {}
    table.insert(of_kind[kind], rest)
end

local frozen = {} -- owner -> what o:<owner> says
for _, owner in each('o') do
    frozen[owner] = call('HGET', P .. 'o:' .. owner, 'frozen')
    lines[#lines + 1] = 'o ' .. owner .. ' ' .. (frozen[owner] or '-')
end

local function is_away(owner)
    return frozen[owner] == 'leaving' or frozen[owner] == 'moved'
end

-- Hooks know of him when he is unpacked.
local function is_on_his_way(owner)
    return is_away(owner) or frozen[owner] == 'arriving'
end

-- ---- deliveries -----------------------------------------------------------

local all = {}    -- id -> delivery
local emails = {} -- email -> deliveries by number

local function read(id)
    local d = { id = id }
    local fields = call('HGETALL', P .. 'd:' .. id)
    for i = 1, #fields, 2 do
        d[fields[i]] = fields[i + 1]
    end
    d.email, d.n = string.sub(id, 1, 36), string.sub(id, 38)
    if d.i then
        local x, f, l, o, r = string.match(d.i,
            '^(%d+) (%d+) (%d+) (%S+) (.*)$')
        d.x, d.f, d.l = d.x or x, d.f or f, d.l or l
        d.o, d.r = d.o or o, d.r or r
    end
    d.is_open = d.s and string.find('qucxhk', d.s, 1, true) ~= nil
    d.holder = d.w or string.match(d.t or '', '^[^:]*')
    return d
end

for _, id in each('d') do
    local d = read(id)
    all[id] = d
    emails[d.email] = emails[d.email] or {}
    emails[d.email][d.n] = d
    check(d.s, 'a delivery without a state: %s', id)
    check(call('OBJECT', 'ENCODING', P .. 'd:' .. id) == 'listpack',
        'no listpack: %s', id)
end

-- ---- places ---------------------------------------------------------------

local places = {}  -- id -> place -> how often
local entries = 0  -- of all flows and suspects
local ringless = 0 -- of flows in no ring

local function put(id, place)
    places[id] = places[id] or {}
    places[id][place] = (places[id][place] or 0) + 1
end

local function put_list(key, place)
    local ids = call('LRANGE', P .. key, 0, -1)
    entries = entries + #ids
    for _, id in ipairs(ids) do
        put(id, place)
    end
    return #ids
end

local rings = {} -- lane:route -> owners
for _, tail in each('ring') do
    rings[tail] = set_of(call('LRANGE', P .. 'ring:' .. tail, 0, -1))
    for owner, count in pairs(rings[tail]) do
        local lane, route = string.match(tail, '^(%d):(.*)$')
        check(count == 1, '%s is %d times in ring:%s', owner, count, tail)
        check(call('EXISTS', P .. 'q:' .. lane .. ':' .. owner .. ':' .. route)
            == 1, '%s is in ring:%s without a flow', owner, tail)
    end
    if call('LLEN', P .. 'wake:' .. tail) == 0 then
        unwoken[#unwoken + 1] = tail
    end
end
for _, tail in each('wake') do
    check(call('LLEN', P .. 'wake:' .. tail) == 1, 'tokens: wake:%s', tail)
end

local routes = set_of(call('SMEMBERS', P .. 'routes'))
for _, rest in each('q') do
    local lane, owner, route = string.match(rest, '^(%d):([^:]*):(.*)$')
    local tail = lane .. ':' .. route
    local count = put_list('q:' .. rest, 'q:' .. rest)
    if rings[tail] and rings[tail][owner] then
        check(routes[route], '%s is not in routes', route)
    else
        ringless = ringless + count
        check(frozen[owner] == 'leaving' and set_of(call('LRANGE',
            P .. 'flows:' .. owner, 0, -1))[tail] == 1,
            'q:%s is in no ring', rest)
    end
end
put_list('suspect', 'suspect')

local scores = {} -- place -> id -> score
for _, place in ipairs({ 'due:0', 'due:1', 'due:2', 'due:3', 'exp', 'held',
    'dead' }) do
    local list = call('ZRANGE', P .. place, 0, -1, 'WITHSCORES')
    scores[place] = {}
    for i = 1, #list, 2 do
        scores[place][list[i]] = tonumber(list[i + 1])
        put(list[i], place)
    end
end

local workers = {}
local list = call('ZRANGE', P .. 'workers', 0, -1, 'WITHSCORES')
for i = 1, #list, 2 do
    workers[list[i]] = list[i + 1]
end
for _, epoch in each('own') do
    check(workers[epoch], 'own:%s of nobody', epoch)
    for _, id in ipairs(call('SMEMBERS', P .. 'own:' .. epoch)) do
        put(id, 'own:' .. epoch)
    end
end
for _, owner in each('bag') do
    for _, entry in ipairs(call('LRANGE', P .. 'bag:' .. owner, 0, -1)) do
        local id = string.match(entry, '^d %S+ (%S+)$')
        if id then
            put(id, 'bag:' .. owner)
        end
    end
end

-- Where it must be, once; of flows, at least once.
local function place_of(d)
    if d.mv then
        return 'bag:' .. d.o
    elseif d.s == 'q' then
        return d.sc and 'suspect' or 'q:' .. d.l .. ':' .. d.o .. ':' .. d.r
    elseif d.s == 'u' then
        return 'due:' .. d.l
    elseif d.s == 'c' or d.s == 'x' then
        return 'own:' .. d.holder
    end
    return d.s == 'h' and 'held' or 'dead'
end

local function is_list(place)
    return place == 'suspect' or string.sub(place, 1, 2) == 'q:'
end

local live = 0 -- in flows and among suspects, once each

local function check_place(d)
    local own = place_of(d)
    local there = places[d.id] or {}
    if is_list(own) then
        live = live + 1
        check(there[own], '%s is %s, but not in %s', d.id, d.s, own)
    else
        check(there[own] == 1, '%s is %s, and %s times in %s', d.id, d.s,
            there[own] or 0, own)
    end
    for place in pairs(there) do
        check(place == own or place == 'exp' or is_list(place),
            '%s is %s, and in %s', d.id, d.s, place)
    end
    check((there.exp ~= nil) == (d.dl ~= nil and not d.mv),
        '%s: deadline and exp', d.id)
end

local function check_scores(d)
    if d.mv then
        return
    elseif d.s == 'u' then
        check(scores['due:' .. d.l][d.id] == tonumber(d.du),
            '%s: due at another time', d.id)
    end
    if d.dl and scores.exp[d.id] then
        check(scores.exp[d.id] >= tonumber(d.x), '%s: exp before its end',
            d.id)
    end
end

local open, packed = 0, 0
for id, d in pairs(all) do
    if d.is_open then
        check_place(d)
        check_scores(d)
        open = open + (d.mv and 0 or 1)
        packed = packed + (d.mv and 1 or 0)
    end
end
for id, there in pairs(places) do
    for place in pairs(there) do
        local d = all[id]
        check(is_list(place) or (d and d.is_open) or
            (string.sub(place, 1, 4) == 'bag:' and
            frozen[string.sub(place, 5)] == 'moved'),
            '%s is over, and in %s', id, place)
    end
end

-- ---- emails ---------------------------------------------------------------

local function check_left(email, numbers)
    local first = numbers['0']
    if not check(first, '%s has no first delivery', email) then
        return
    end
    local left = 0
    for _, d in pairs(numbers) do
        left = left + (d.is_open and 1 or 0)
    end
    check(left == tonumber(first.left or 1), '%s: left is %s of %d', email,
        first.left or 1, left)
    check(left > 0, '%s is over, and not closed', email)
    check(call('EXISTS', P .. 'h:' .. email) == 0, '%s is open and closed',
        email)
end

local function content_of(email, chunks)
    local keys = { P .. 'c:' .. email }
    for i = 0, chunks - 1 do
        keys[#keys + 1] = P .. 'b:' .. email .. ':' .. i
    end
    return keys
end

-- Of what is on its way from here only a part may be left.
local function check_content(email, chunks, is_open, is_leaving)
    local keys = content_of(email, chunks)
    local there = call('EXISTS', unpack(keys))
    for _, key in ipairs(keys) do
        local ttl = call('PTTL', key)
        check(ttl == -2 or (ttl == -1) == is_open, '%s: its end is wrong',
            string.sub(key, #P + 1))
    end
    check(there == #keys or (there == 0 and not is_open) or is_leaving,
        '%s: %d of %d parts of its content', email, there, #keys)
    lines[#lines + 1] = 'c ' .. email .. ' ' .. (there == #keys and 1 or 0)
end

for email, numbers in pairs(emails) do
    local first = numbers['0']
    if not (first and frozen[first.o] == 'moved') then
        check_left(email, numbers)
        check_content(email, tonumber(first and first.b or 0), true, false)
    end
end

local OUTCOME = '%[(%d+),"(%a)",(%d+),(%d+),%d+,'
local closed = {}
for _, email in each('h') do
    local head = string.match(call('GET', P .. 'h:' .. email), '^[^\n]*')
    local dups = set_of({})
    closed[email] = true
    for n in string.gmatch(string.match(head, '"dup":%[([%d,]*)') or '',
        '%d+') do
        dups[n] = true
    end
    check_content(email, tonumber(string.match(head, '"b":(%d+)') or 0), false,
        true)
    for n, s, g, a in string.gmatch(head, OUTCOME) do
        lines[#lines + 1] = table.concat({ 'h', email, n, s, g, a,
            dups[n] and 1 or 0 }, ' ')
    end
end
local is_moving = false
for owner in pairs(frozen) do
    is_moving = is_moving or is_on_his_way(owner)
end
for _, kind in ipairs({ 'c', 'b', 't', 'a' }) do
    for _, rest in each(kind) do
        local email = string.sub(rest, 1, 36)
        check(closed[email] or emails[email] or is_moving or
            (kind == 'b' and call('TTL', P .. 'b:' .. rest) > 0),
            '%s:%s of no email', kind, rest) -- or it was not stored
    end
end

for id, d in pairs(all) do
    local own = d.is_open and place_of(d) or '-'
    local till = d.holder and workers[d.holder]
    if d.s == 'h' or d.s == 'k' then
        till = scores[own] and scores[own][id]
    elseif d.s == 'u' or d.s == 'q' then
        till = nil
    end
    lines[#lines + 1] = table.concat({ 'd', d.email, d.n, d.s, d.g or 1,
        d.a or 0, d.dup or 0, d.mv or 0, d.sc or '-', d.x or 0, d.du or 0, own,
        d.t or '-', d.al or '-', scores.exp[id] and int(scores.exp[id]) or 0,
        d.nr or 0, d.o, till and int(till) or 0 }, ' ')
end

-- ---- counters -------------------------------------------------------------

local n = call('HMGET', P .. 'n', 'accepted', 'final', 'leftovers', 'odd',
    'history_bytes', 'attempt_bytes', 'backlog', 'bodiless')
for i = 1, 8 do
    n[i] = tonumber(n[i] or nil) or 0
end
check(n[1] - n[2] == open - ringless, 'open by the counters %d, %d are',
    n[1] - n[2], open - ringless)
check(n[3] == entries - live, 'leftovers are %d, %d are', n[3],
    entries - live)
check(n[4] == 0, 'it was odd %d times', n[4])

local counted = {} -- owner -> open deliveries under a limit
for _, d in pairs(all) do
    if d.is_open and d.oc then
        counted[d.o] = (counted[d.o] or 0) + 1
    end
end
for owner, state in pairs(frozen) do
    counted[owner] = counted[owner] or 0
end
for owner, count in pairs(counted) do
    local told = tonumber(call('HGET', P .. 'o:' .. owner, 'open') or nil) or 0
    check(told == count or frozen[owner] == 'moved',
        '%s has %d open by his counter, %d are', owner, told, count)
end

-- ---- webhooks -------------------------------------------------------------

local owner_of = {}
for _, owner in ipairs(of_kind.r or {}) do
    owner = string.match(owner, '^webhook:(.*)$')
    for _, endpoint in ipairs(call('SMEMBERS', P .. 'r:webhook:' .. owner)) do
        owner_of[endpoint] = owner
    end
end
local wring = set_of(call('LRANGE', P .. 'wring', 0, -1))
local wdue = call('ZRANGE', P .. 'wdue', 0, -1)
local flying = {}
local backlog = 0
for _, epoch in each('wown') do
    check(call('ZSCORE', P .. 'whooks', epoch), 'wown:%s of nobody', epoch)
    for _, task in ipairs(call('SMEMBERS', P .. 'wown:' .. epoch)) do
        local endpoint = string.match(task, '^%S+')
        flying[endpoint] = (flying[endpoint] or 0) + 1
        backlog = backlog + 1
    end
end
local paused = {}
for _, task in ipairs(wdue) do
    local endpoint, id = string.match(task, '^(%S+) (%S+)$')
    paused[endpoint] = paused[endpoint] or id == '-'
    backlog = backlog + (id == '-' and 0 or 1)
end

local function check_endpoint(endpoint, owner)
    local e = call('HMGET', P .. 'we:' .. endpoint, 'enabled', 'ring', 'flying',
        'paused', 'behind', 'failing')
    local waiting = call('LLEN', P .. 'w:' .. endpoint)
    if call('HEXISTS', P .. 'o:' .. owner, 'packed') == 0 then
        backlog = backlog + waiting
    end
    check((tonumber(e[3] or nil) or 0) == (flying[endpoint] or 0),
        '%s: %s fly, %d do', endpoint, e[3] or 0, flying[endpoint] or 0)
    if is_on_his_way(owner) then
        return
    end
    check((e[2] ~= false) == (wring[endpoint] == 1), '%s: in wring %s times',
        endpoint, wring[endpoint] or 0)
    check((e[4] ~= false) == (paused[endpoint] == true), '%s: paused',
        endpoint)
    check(e[2] or e[1] ~= '1' or waiting == 0 or
        may_fly(e[3] or nil, e[4], e[6]) <= 0,
        '%s has work, and is in no ring', endpoint)
    check((e[5] ~= false) ==
        (call('SISMEMBER', P .. 'wbehind', endpoint) == 1), '%s: behind',
        endpoint)
end

for endpoint, owner in pairs(owner_of) do
    if frozen[owner] ~= 'moved' then
        check_endpoint(endpoint, owner)
    end
end
check(n[7] == backlog, 'the backlog is %d, %d are', n[7], backlog)

-- ---- events ---------------------------------------------------------------

local evring = set_of(call('LRANGE', P .. 'evring', 0, -1))
for owner, state in pairs(frozen) do
    if not is_on_his_way(owner) then
        local ev = call('HGET', P .. 'o:' .. owner, 'ev')
        check((ev ~= false) == (evring[owner] == 1), '%s: evring', owner)
    end
end
for _, owner in each('ev') do
    local first = call('XRANGE', P .. 'ev:' .. owner, '-', '+', 'COUNT', 1)[1]
    local last = call('XREVRANGE', P .. 'ev:' .. owner, '+', '-', 'COUNT', 1)[1]
    local fan = call('GET', P .. 'fan:' .. owner) or '0-0'
    local prj = call('GET', P .. 'prj:' .. owner) or '0-0'
    if first and not is_on_his_way(owner) then
        check((fan == last[1] and prj == last[1]) or evring[owner],
            '%s has events, and is not in evring', owner)
        check(prj == '0-0' or evring[owner] or
            call('ZSCORE', P .. 'evold', owner),
            '%s has events, and no time when they go', owner)
    end
end

-- ---- suppressions ---------------------------------------------------------

local LISTED = '^(%S+) (%a) %d+ (%d+) '
for _, owner in each('su') do
    local fields = call('HGETALL', P .. 'su:' .. owner)
    for i = 1, #fields, 2 do
        local hash = fields[i]
        local id, origin, till = string.match(fields[i + 1], LISTED)
        local score = call('ZSCORE', P .. 'sx:' .. owner, hash)
        check((score ~= false) == (till ~= '0'), '%s: %s in sx', owner, hash)
        if tonumber(till) == 0 or tonumber(till) > clock() then
            check(call('ZSCORE', P .. 'sl' .. origin .. ':' .. owner,
                id .. hash), '%s: %s is on no list', owner, hash)
        end
    end
    if not is_on_his_way(owner) then
        local first = call('ZRANGE', P .. 'sx:' .. owner, 0, 0,
            'WITHSCORES')[2]
        local old = call('ZSCORE', P .. 'sold', owner)
        check(not first or (old and tonumber(old) <= tonumber(first)),
            '%s: sold', owner)
        check(call('HEXISTS', P .. 'o:' .. owner, 'sup') == 1,
            '%s has a list that nobody looks at', owner)
    end
end

-- ---- bytes ----------------------------------------------------------------

local LINE = '^%d+ (%d+) (%d+) %d+ %d+ (%S+) (%S+)$'

local function lines_bytes()
    local sum = 0
    for i, line in ipairs(call('LRANGE', P .. 'ended', 0, -1)) do
        local history, body = string.match(line, LINE)
        sum = sum + history + (i > n[8] and body or 0)
    end
    for _, line in ipairs(call('ZRANGE', P .. 'arrived', 0, -1)) do
        local history, body = string.match(line, LINE)
        sum = sum + history +
            (call('ZSCORE', P .. 'arrivedb', line) and body or 0)
    end
    return sum
end

local function events_bytes()
    local sum = 0
    for _, owner in each('ev') do
        for _, entry in ipairs(call('XRANGE', P .. 'ev:' .. owner, '-', '+')) do
            sum = sum + event_bytes(entry[2][2])
        end
    end
    return sum
end

local function sum_lists(kind)
    local sum = 0
    for _, email in each(kind) do
        sum = sum + list_bytes(call('LRANGE', P .. kind .. ':' .. email, 0, -1))
    end
    return sum
end

local attempts = sum_lists('a')
local bytes = lines_bytes() + events_bytes() + sum_lists('t') + attempts
for _, rest in each('x') do
    bytes = bytes + call('ZCARD', P .. 'x:' .. rest) * INDEX_BYTES
end
check(n[5] == bytes, 'history_bytes are %d, %d are', n[5], bytes)
check(n[6] == attempts, 'attempt_bytes are %d, %d are', n[6], attempts)

return { complaints, lines, unwoken }
