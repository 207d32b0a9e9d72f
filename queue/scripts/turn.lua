#!lua flags=allow-oom
-- needs: prelude summary history deliveries master suppressions
-- function suppress: suppression_change suppression_tell suppress
-- A child's heartbeat: takes its results, moves what time moves, gives it
-- work. ARGV: 1 epoch, 2 lease in ms, 3 keep_bodies (ms), 4 number for the
-- first token, 5 '1': also look after all routes, then
--   count, results: id, token, kind, due, follow-up, outcome, event fields,
--     records of attempts (attempts.h); of kind p: what goes on the list of
--     suppressions (suppress.lua)
--   count, wake tokens that it took and cannot use: lane, route
--   count, wants: route, share that each lower lane is sure of, room of lanes
--   0-3: what is claimed of a lane and those behind it never passes its room
-- Kinds: s sent, o soft, e expired, b bounced, p bounced for its address,
-- f failed, n unsent, u unknown, m move to the route in outcome, w no route:
-- wait until due.
--
-- Answers {'unregistered'}, or {'ok', time, next time something is due (0:
-- nothing), results refused, claims, contents, routes, event counts}.
-- A claim is one text, "id token lane attempt generation dup on_unknown
-- first-due x dl chunks chunks-of-the-job route". A content: email, record;
-- left out where the answer would be too large.
local epoch, lease = ARGV[1], tonumber(ARGV[2])
keep_bodies = tonumber(ARGV[3])
local token_number = tonumber(ARGV[4])
local looks_after_all = ARGV[5] == '1'

local CLAIMS_MAX = 256
local QUANTUM = 16           -- of one owner, while others wait
local LOOKS_MAX = 512        -- ids, those dropped included
local PROMOTE_MAX = 100      -- of each lane
local EXPIRE_MAX = 100
local TAKE_BACK_MAX = 128    -- of each dead child
local CONTENT_MAX = 900000   -- bytes of all contents

local at = 5
local function arg()
    at = at + 1
    return ARGV[at]
end

-- ---- time -----------------------------------------------------------------

now = clock()
local expiry = tonumber(call('ZSCORE', P .. 'workers', epoch) or nil)
if not expiry then
    return { 'unregistered' }
end

-- What is written anew only when it has changed by so much: a write costs as
-- much as two reads.
local STEP = lease / 50

-- After an outage, or a step of the clock, living children could not renew
-- their leases: until they had the time to, no dotted delivery is taken from
-- them. Without that an outage would send every marked mail again.
local function keep_beat()
    local beat, grace = string.match(call('GET', P .. 'beat') or '',
        '^(%d+) (%d+)$')
    local is_first = not beat
    beat, grace = tonumber(beat) or now, tonumber(grace) or 0
    if beat > now and beat - now <= 1000 then
        now = beat
    elseif beat > now or now - beat > lease / 3 then
        grace = now + 2 * lease
        local ahead = call('ZRANGEBYSCORE', P .. 'workers', '(' .. now + lease,
            '+inf', 'LIMIT', 0, 1000)
        for _, other in ipairs(ahead) do
            call('ZADD', P .. 'workers', now + lease, other)
        end
    elseif now - beat < STEP and not is_first then
        return grace
    end
    call('SET', P .. 'beat', now .. ' ' .. grace)
    return grace
end

local grace = keep_beat()
if expiry < now + lease - STEP or expiry > now + lease then
    call('ZADD', P .. 'workers', now + lease, epoch)
end

-- ---- results --------------------------------------------------------------

local apply = {}

function apply.s(d, due, follow_up, outcome, fields)
    d.a = d.a + 1
    if follow_up == '1' then
        finish(d, 'D', 'sent', outcome, fields, 'delivered')
    else
        finish(d, 'S', 'sent', outcome, fields)
    end
end

function apply.o(d, due, follow_up, outcome, fields)
    soft(d, due, outcome, fields)
end

function apply.e(d, due, follow_up, outcome, fields)
    d.a = d.a + 1
    finish(d, 'E', 'expired', outcome, late_fields(d, fields))
end

function apply.b(d, due, follow_up, outcome, fields)
    d.a = d.a + 1
    finish(d, 'B', 'bounced', outcome, fields)
end

apply.p = apply.b

function apply.f(d, due, follow_up, outcome, fields)
    finish(d, 'F', 'failed', outcome, fields)
end

function apply.n(d, due)
    if due > now then
        postpone(d, due)
    else
        requeue(d, true)
    end
end

function apply.u(d, due, follow_up, outcome, fields)
    unknown(d, due, outcome, fields)
end

function apply.m(d, due, follow_up, route)
    d.r = route
    call('HSET', d.key, 'r', route)
    requeue(d, false)
end

function apply.w(d, due)
    call('HSET', d.key, 'nr', 1)
    postpone(d, due)
end

-- A 250 is believed even late, when it is that of the last claim. Without a
-- mark no dot leaves: who tells of one all the same had a mark that Redis has
-- lost (a failover, a power cut under everysec).
local function fits(d, token, kind)
    if d.t ~= token then
        return false
    end
    return d.s == 'x' or d.s == 'c' or kind == 's'
end

local ATTEMPTS_MAX = 20 -- of an email: history.lua

-- A quarter of the limit at the most: what upstreams said that refuse all mail
-- for hours must not fill Redis. The events tell of the others.
local function has_attempts_room(records)
    local n = call('HMGET', P .. 'n', 'attempt_bytes', 'history_limit')
    local limit = tonumber(n[2]) or 0
    return limit == 0 or
        (tonumber(n[1]) or 0) + of_attempts + #records <= limit / 4
end

local function keep_attempts(email, records)
    local key = P .. 'a:' .. email
    if records == '' or not has_attempts_room(records) then
        return
    end
    for record in string.gmatch(records, '[^\n]+') do
        local items = call('RPUSH', key, record)
        charge_attempts(#record + ITEM_BYTES +
            (items == 1 and TIMELINE_BYTES or 0))
        if items > ATTEMPTS_MAX then
            charge_attempts(-#call('LPOP', key) - ITEM_BYTES)
        end
    end
end

local refused = 0
for _ = 1, tonumber(arg()) do
    local id, token, kind = arg(), arg(), arg()
    local due, follow_up, outcome, fields = tonumber(arg()), arg(), arg(), arg()
    local attempts = arg()
    local suppressed = kind == 'p' and arg() or nil
    local d = load(id)
    if d and not is_final(d) then
        if fits(d, token, kind) then
            local add = suppressed and
                suppress(d.o, d.email, now, suppressed, outcome)
            keep_attempts(d.email, attempts)
            apply[kind](d, due, follow_up, outcome, fields)
            if add and add() then
                listed.bounce = (listed.bounce or 0) + 1
            end
        else
            refused = refused + 1
        end
    end
end

-- ---- what time moves ------------------------------------------------------

local next_due = 0
local function note_next(score)
    if score and (next_due == 0 or score < next_due) then
        next_due = score
    end
end

-- The ids that are due in a sorted set; notes when the next one is.
local function due_in(key, max)
    local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
    if not first or first == 'inf' then
        return {}
    elseif tonumber(first) > now then
        note_next(tonumber(first))
        return {}
    end
    note_next(now) -- there may be more than max
    return call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, max)
end

local function promote(lane)
    local key = P .. 'due:' .. lane
    local ids = due_in(key, PROMOTE_MAX)
    if #ids == 0 then
        return
    end
    call('ZREM', key, unpack(ids))
    for _, id in ipairs(ids) do
        local d = load(id)
        if d and d.s == 'u' then
            call('HSET', d.key, 's', 'q')
            line_up(d, false)
        end
    end
end

local function end_lives(key, max)
    for _, id in ipairs(due_in(key, max)) do
        local d = load(id)
        if not d or is_final(d) then
            call('ZREM', key, id)
        elseif not expire(d) then
            call('ZADD', key, now + lease, id)
        end
    end
end

local function take_back(dead)
    local ids = call('SRANDMEMBER', P .. 'own:' .. dead, TAKE_BACK_MAX)
    local waiting, unsure = 0, is_unsure(dead)
    for _, id in ipairs(newest_first(ids)) do
        local d = load(id)
        if not d or (d.s ~= 'c' and d.s ~= 'x') or holder(d) ~= dead then
            call('SREM', P .. 'own:' .. dead, id)
        elseif d.s == 'c' and not unsure then
            requeue(d, true)
        elseif now >= grace then
            unknown(d, 0, '', '')
        else
            waiting = waiting + 1
        end
    end
    if waiting == 0 and #ids < TAKE_BACK_MAX then
        forget_worker(dead)
    end
end

-- Often none of them is there: one look instead of seven.
local function move_by_time()
    if call('EXISTS', P .. 'due:0', P .. 'due:1', P .. 'due:2', P .. 'due:3',
        P .. 'exp', P .. 'held', P .. 'dead') == 0 then
        return
    end
    for lane = 0, 3 do
        promote(lane)
    end
    end_lives(P .. 'exp', EXPIRE_MAX)
    end_lives(P .. 'held', EXPIRE_MAX)
    end_lives(P .. 'dead', EXPIRE_MAX)
end

move_by_time()
for _, dead in ipairs(call('ZRANGEBYSCORE', P .. 'workers', '-inf', now,
    'LIMIT', 0, 4)) do
    take_back(dead)
end

-- What was told and moved is whole now, whatever becomes of the claims.
settle()

-- ---- claims ---------------------------------------------------------------

local claims, contents, held = {}, {}, {}
local has_content, content_bytes, looks = {}, 0, 0
local untrimmed = 0 -- entries that were looked at, and stand in their flow yet

local function add_content(email)
    if has_content[email] or content_bytes > CONTENT_MAX then
        return
    end
    has_content[email] = true
    local record = redis.pcall('GET', P .. 'c:' .. email)
    if type(record) == 'string' then
        content_bytes = content_bytes + #record
        contents[#contents + 1] = email
        contents[#contents + 1] = record
    end
end

-- The chunks stand in the first delivery.
local function chunks_of(d)
    if d.n == '0' then
        return d.b and d.b .. ' ' .. d.bj or '0 0'
    end
    local v = call('HMGET', P .. 'd:' .. d.email .. ':0', 'b', 'bj')
    return v[1] and v[1] .. ' ' .. v[2] or '0 0'
end

-- False: the entry is a leftover.
local function claim(id, lane, owner, route)
    local d = load(id)
    if not d or d.s ~= 'q' or d.sc or d.l ~= lane or d.r ~= route then
        return false
    elseif d.x > 0 and d.x <= now then
        expire(d)
        return false
    end
    local why = kept_off(d, now)
    if why then
        finish(d, 'P', 'suppressed', nil, why)
        return false
    end
    local token = epoch .. ':' .. int(token_number)
    local chunks = chunks_of(d)
    token_number = token_number + 1
    held[#held + 1] = id
    call('HSET', d.key, 's', 'c', 't', token)
    if d.w or d.nr then
        call('HDEL', d.key, 'w', 'nr')
    end
    claims[#claims + 1] = id .. ' ' .. token .. ' ' .. lane .. ' ' ..
        (d.a == 0 and '1' or d.a + 1) .. ' ' .. d.g .. ' ' .. (d.dup or '0') ..
        ' ' .. (d.k or 'r') .. ' ' .. d.f .. ' ' .. d.ends .. ' ' ..
        (d.dl or '0') .. ' ' .. chunks .. ' ' .. route
    add_content(d.email)
    return true
end

-- A quantum from the flow at the head of the ring, which then goes to its
-- end. Returns how many were claimed, and how many flows are left.
local function claim_quantum(lane, route, ring, flows, want)
    local owner = call('LINDEX', ring, 0)
    local flow = P .. 'q:' .. lane .. ':' .. owner .. ':' .. route
    local quantum = flows == 1 and want or
        math.min(QUANTUM, math.ceil(want / flows))
    local ids = call('LRANGE', flow, 0, quantum)
    local has_more = #ids > quantum
    local taken = 0
    for i = 1, math.min(#ids, quantum) do
        looks = looks + 1
        if claim(ids[i], lane, owner, route) then
            taken = taken + 1
        else
            leftovers = leftovers - 1
        end
        untrimmed = i
    end
    if has_more then
        call('LTRIM', flow, quantum, -1)
        untrimmed = 0
        if flows > 1 then
            call('LMOVE', ring, ring, 'LEFT', 'RIGHT')
        end
        return taken, flows
    end
    call('DEL', flow)
    untrimmed = 0
    call('LPOP', ring)
    return taken, flows - 1
end

-- flows: how many there are in the ring.
local function claim_lane(lane, route, want, flows)
    local ring = P .. 'ring:' .. lane .. ':' .. route
    local taken = 0
    while taken < want and flows > 0 and looks < LOOKS_MAX do
        local more_taken
        more_taken, flows = claim_quantum(lane, route, ring, flows,
            want - taken)
        taken = taken + more_taken
    end
    return taken, flows
end

local function has_work(route)
    local ring = P .. 'ring:'
    return call('EXISTS', ring .. '0:' .. route, ring .. '1:' .. route,
        ring .. '2:' .. route, ring .. '3:' .. route) > 0
end

-- Strictly by lane, but for the small share that lower lanes are sure of.
-- Returns how many flows are left of each lane; nil: nobody looked.
local function claim_route(route, share, room)
    local left = {}
    local function take(lane, want)
        want = math.min(want, CLAIMS_MAX - #claims)
        for above = 0, lane do
            want = math.min(want, room[above])
        end
        if want <= 0 or left[lane] == 0 then
            return
        end
        left[lane] = left[lane] or
            call('LLEN', P .. 'ring:' .. lane .. ':' .. route)
        local taken, flows = claim_lane(tostring(lane), route, want, left[lane])
        for above = 0, lane do
            room[above] = room[above] - taken
        end
        left[lane] = flows
    end
    if not has_work(route) then
        return { [0] = 0, 0, 0, 0 }
    end
    if share > 0 then
        for lane = 3, 1, -1 do
            take(lane, share)
        end
    end
    for lane = 0, 3 do
        take(lane, room[lane])
    end
    return left
end

-- Work that this child leaves is for the next one, or for itself when it has
-- room again.
local function pass_on(lane, route)
    if call('EXISTS', P .. 'ring:' .. lane .. ':' .. route) == 1 then
        wake(lane, route)
    end
end

local function claim_all()
    local unused = {}
    for i = 1, tonumber(arg()) do
        unused[i] = { arg(), arg() }
    end
    for _ = 1, tonumber(arg()) do
        local route, share = arg(), tonumber(arg())
        local room = {}
        for lane = 0, 3 do
            room[lane] = tonumber(arg())
        end
        local asked = { [0] = room[0], room[1], room[2], room[3] }
        local left = claim_route(route, share, room)
        for lane = 0, 3 do
            if asked[lane] > 0 and left[lane] ~= 0 then
                pass_on(lane, route)
            end
        end
    end
    for _, token in ipairs(unused) do
        pass_on(token[1], token[2])
    end
    if #held > 0 then
        call('SADD', P .. 'own:' .. epoch, unpack(held))
    end
end

-- ---- all routes, once a heartbeat -----------------------------------------

-- Mail without a deadline on a route that nobody asks for ends too: the head
-- of one flow a heartbeat, then the next flow's.
local function expire_heads(lane, route)
    local ring = P .. 'ring:' .. lane .. ':' .. route
    local owner = call('LMOVE', ring, ring, 'LEFT', 'RIGHT')
    if not owner then
        return false
    end
    local flow = P .. 'q:' .. lane .. ':' .. owner .. ':' .. route
    for _, id in ipairs(call('LRANGE', flow, 0, 19)) do
        local d = load(id)
        if d and d.s == 'q' and (d.x == 0 or d.x > now) then
            break
        elseif d and d.s == 'q' then
            expire(d)
        end
        call('LPOP', flow)
        leftovers = leftovers - 1
    end
    if call('EXISTS', flow) == 0 then
        call('RPOP', ring)
    end
    return true
end

local function look_after(routes)
    for _, route in ipairs(routes) do
        local has_work = false
        for lane = 0, 3 do
            has_work = expire_heads(lane, route) or has_work
        end
        if not has_work then
            call('SREM', P .. 'routes', route)
        end
    end
    return routes
end

-- ---- all of it, or nothing -------------------------------------------------

local function work()
    claim_all()
    local routes = looks_after_all and
        look_after(call('SMEMBERS', P .. 'routes')) or {}
    return { 'ok', now, next_due, refused, claims, contents, routes, settle() }
end

-- Whoever asked hears of an error alone. What stands in its flow yet is there
-- twice then.
local function give_back()
    leftovers = leftovers + untrimmed
    for _, id in ipairs(newest_first(held)) do
        pcall(requeue, load(id), true)
    end
    settle()
end

local is_whole, answer = pcall(work)
if not is_whole then
    pcall(give_back)
    error(answer, 0)
end
return answer
