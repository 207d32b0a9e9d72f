-- Deliveries: one hash each, d:<email>:<n>, all values short, so that it
-- stays a listpack. What is 0 or empty is left out.
--
--   s    state: q queued, u due, c claimed, x dotted, h held, k dead; final:
--        S sent, D sent and delivered, B bounced, F failed, P suppressed,
--        E expired, U superseded, C canceled
--   i    what it was born with, "x f l o r", so that an ordinary mail takes
--        few fields. Those that stand apart hold instead:
--   l o r    lane, owner, route: its flow
--   g a  generation (without: 1); attempts that count
--   t w  token of the last claim, "epoch:number"; epoch that holds it now,
--        when that is not the token's
--   f x  first due time; end of its life (deadline or maximum age)
--   dl   1: x is a deadline, so it is in exp
--   k    on_unknown: h hold, f fail; without: retry
--   dup  1: an earlier attempt may have been delivered
--   du   due, for state u
--   dd   delivery_delayed events of this generation
--   ad   hash of the address (suppressions.lua)
--   nr   1: no route of the configuration fits it, says who had it last
--   oc   1: counted in its owner's open, since it came under a limit
--   hs hw hu  held: since when; how its outcome was lost (r no reply, w with
--        its worker), at which upstream
--   sc   suspect: how often it crashed a child while it was alone there;
--        al: the token of that claim
--   mv   1: in its owner's bag (baggage.lua), and not to be seen here
--   e    when it became final
--   fu   what came back of it behind its end, in that order: b bounced,
--        d delivered, c complained; and when the last of it did (feedback.lua)
--   tu tr  where the time of its attempts went, in ms: at upstreams; waiting
--        for the next one, as planned
--   p1.. pieces of its last outcome: code,"enhanced","reply"
-- and, in the first one of an email (number 0):
--   left open deliveries; m: mailboxes (numbers are below); sq: last sequence;
--        without: 1 each
--   b bj chunks of big values, and how many of them are the job's
--   ac   1: the event of its acceptance is charged, or swept (history.lua)

-- Set by each script before it ends a delivery.
local now, keep_bodies
local touched = {} -- owners with new events
local raised = {}  -- kind of event -> how many
local listed = {}  -- origin -> addresses that came on the list of suppressions
local gone = {}    -- epoch -> ids that it holds no longer
local final = 0
local uncounted = {} -- owner -> how many of his that were counted have ended
local leftovers = 0 -- entries of lists more, without their delivery
local closed = {}  -- emails that ended here: their deliveries are no more,
local unlinks = {} -- though their keys go at the end,
local ended = {}   -- when they get their lines in ended, too

local PIECES = 6
local PIECE = 60
local LIFE_MAX = 2592000000 -- ms: of what waits for an operator

-- None: there is no such key, or one of another type.
local function fields_of(key)
    local fields = redis.pcall('HGETALL', key)
    if fields.err and not string.find(fields.err, '^WRONGTYPE') then
        error(fields)
    end
    return fields
end

-- One pass over the hash costs half of asking for its fields by name, each
-- of which searches the listpack.
local function load(id)
    local key, email = P .. 'd:' .. id, string.sub(id, 1, 36)
    local fields = closed[email] and {} or fields_of(key)
    if #fields == 0 then
        return nil
    end
    -- Nils make room for what most of them have: a table that grows field by
    -- field is hashed anew five times.
    local d = { id = id, key = key, email = email, n = nil, s = nil, i = nil,
        t = nil, x = nil, f = nil, l = nil, o = nil, r = nil, m = nil,
        left = nil, sq = nil, g = nil, a = nil, ends = nil }
    for i = 1, #fields, 2 do
        d[fields[i]] = fields[i + 1]
    end
    if d.mv then
        return nil
    end
    d.n = string.sub(id, 38)
    if d.i then
        local x, f, l, o, r = string.match(d.i,
            '^(%d+) (%d+) (%d+) (%S+) (.*)$')
        d.x, d.f, d.l = d.x or x, d.f or f, d.l or l
        d.o, d.r = d.o or o, d.r or r
    end
    if d.n == '0' and not d.m then
        d.m, d.left, d.sq = '1', '1', d.sq or '1'
    end
    d.g = d.g or '1'
    d.a = tonumber(d.a) or 0
    d.ends = d.x or '0' -- as text
    d.x = tonumber(d.ends)
    d.t = d.t or ''
    return d
end

local function is_final(d)
    return string.find('SDBFPEUC', d.s, 1, true) ~= nil
end

local function holder(d)
    if d.w and d.w ~= '' then
        return d.w
    end
    return string.match(d.t, '^[^:]*')
end

-- Of what a child held, newest first: back at the head of its flow it stands in
-- the order in which it was accepted.
local function newest_first(ids)
    table.sort(ids, function(a, b)
        return a > b
    end)
    return ids
end

-- Takes it out of the place that its state puts it in. Entries of flows stay
-- behind and are dropped when they come up.
local function leave(d)
    if d.s == 'c' or d.s == 'x' then
        local epoch = holder(d)
        gone[epoch] = gone[epoch] or {}
        table.insert(gone[epoch], d.id)
    elseif d.s == 'q' then
        leftovers = leftovers + 1
    elseif d.s == 'u' then
        call('ZREM', P .. 'due:' .. d.l, d.id)
    elseif d.s == 'h' then
        call('ZREM', P .. 'held', d.id)
    elseif d.s == 'k' then
        call('ZREM', P .. 'dead', d.id)
    end
end

local texts = {} -- of numbers that many mails share
local function shared_int(number)
    local text = texts[number]
    if not text then
        text = int(number)
        texts[number] = text
    end
    return text
end

-- What stands behind an event's time: attempt, flag, what the worker told.
local function attempt_fields(d, fields)
    local text = d.a > 0 and ',"a":' .. shared_int(d.a) or ''
    if d.dup then
        text = text .. ',"dup":1'
    end
    return text .. fields
end

-- The only delivery of an email counts for itself; when it ends now, it needs
-- no counter any more.
local function next_sequence(d, is_last)
    if d.m == '1' then
        d.sq = int(d.sq + 1)
        if not is_last then
            call('HSET', d.key, 'sq', d.sq)
        end
        return d.sq
    end
    return call('HINCRBY', P .. 'd:' .. d.email .. ':0', 'sq', 1)
end

local function tell(d, kind, ordinal, sequence, fields)
    local record = event(d.o, kind, d.email, d.n, d.g, ordinal, sequence,
        shared_int(now), fields)
    charged = charged + #record + EVENT_BYTES
    touched[d.o] = true
    raised[kind] = (raised[kind] or 0) + 1
end

local function raise(d, kind, ordinal, fields, is_last)
    local sequence = next_sequence(d, is_last)
    tell(d, kind, ordinal, sequence, fields)
    return sequence
end

-- A line's end closes the outcome, since a longer one may have stood there.
local function add_pieces(args, outcome)
    outcome = outcome .. '\n'
    for i = 1, math.ceil(#outcome / PIECE) do
        table.insert(args, 'p' .. i)
        table.insert(args, string.sub(outcome, (i - 1) * PIECE + 1, i * PIECE))
    end
end

local function join_pieces(pieces, first)
    local outcome = ''
    for i = first, first + PIECES - 1 do
        outcome = outcome .. (pieces[i] or '')
    end
    return string.match(outcome, '^[^\n]*')
end

-- ---- the end of an email: d and the like shrink to one h ------------------

local function outcome_text(n, s, g, a, ended, outcome)
    if outcome == '' then
        outcome = '0,"",""'
    end
    return '[' .. n .. ',"' .. s .. '",' .. g .. ',' .. a .. ',' .. ended ..
        ',' .. outcome .. ']'
end

-- And whether it may have been delivered besides, and what came back of it.
local function outcome_stored(email, n)
    local v = call('HMGET', P .. 'd:' .. email .. ':' .. n, 's', 'g', 'a',
        'e', 'p1', 'p2', 'p3', 'p4', 'p5', 'p6', 'dup', 'fu')
    if not v[1] then
        return nil -- the mailbox came before: no delivery
    end
    return outcome_text(n, v[1], v[2] or 1, v[3] or 0,
        v[4] or shared_int(now), join_pieces(v, 5)), v[11], v[12]
end

local function content_keys(email, chunks)
    local keys = { P .. 'c:' .. email }
    for i = 0, chunks - 1 do
        table.insert(keys, P .. 'b:' .. email .. ':' .. i)
    end
    return keys
end

-- Bytes of c and b; size: of c, nil when it is not known.
local function body_bytes(keys, size)
    local bytes = 0
    for i, key in ipairs(keys) do
        bytes = bytes + KEY_BYTES + (i == 1 and size or call('STRLEN', key))
    end
    return bytes
end

-- Many keys in one call cost a third of as many calls.
local BATCH_MAX = 1000

local function flush_unlinks()
    if #unlinks > 0 then
        call('UNLINK', unpack(unlinks))
        unlinks = {}
    end
end

local function flush_ended()
    if #ended > 0 then
        call('RPUSH', P .. 'ended', unpack(ended))
        ended = {}
    end
end

local function unlink(key)
    unlinks[#unlinks + 1] = key
    if #unlinks == BATCH_MAX then
        flush_unlinks()
    end
end

-- Returns how many bytes of it are kept.
local function end_content(first, is_sensitive, chunks, size)
    local keys = content_keys(first.email, chunks)
    if not is_sensitive and keep_bodies > 0 then
        for _, key in ipairs(keys) do
            call('PEXPIRE', key, shared_int(keep_bodies))
        end
        return body_bytes(keys, size)
    end
    for _, key in ipairs(keys) do
        unlink(key)
    end
    return 0
end

-- outcomes, dups: joined by commas; dups: numbers of those that may have been
-- delivered besides, which a retry by hand must not forget (retry.lua).
-- came_back: as feedback.lua reads it.
local function close_email(first, outcomes, dups, came_back, sequence)
    local email = first.email
    local summary, is_sensitive, size = summary_of(email)
    local chunks = first.b or '0'
    local about = first.b and ',"b":' .. first.b .. ',"bj":' .. first.bj or ''
    if dups ~= '' then
        about = about .. ',"dup":[' .. dups .. ']'
    end
    if came_back ~= '' then
        about = about .. ',"fu":"' .. came_back .. '"'
    end
    local history = '{"q":' .. sequence .. about .. ',"d":[' .. outcomes ..
        ']}\n' .. summary
    local history_bytes = #history + KEY_BYTES + LINE_BYTES
    local kept_bytes = end_content(first, is_sensitive, chunks, size)
    call('SET', P .. 'h:' .. email, history)
    ended[#ended + 1] = shared_int(now) .. ' ' .. int(history_bytes) .. ' ' ..
        int(kept_bytes) .. ' ' .. chunks .. ' ' .. sequence .. ' ' .. email ..
        ' ' .. first.o
    charged = charged + history_bytes + kept_bytes +
        (first.ac and 0 or ACCEPTED_BYTES)
    if #ended == BATCH_MAX then
        flush_ended()
    end
    for n = 0, first.m - 1 do
        unlink(P .. 'd:' .. email .. ':' .. shared_int(n))
    end
    closed[email] = true
end

local function close_single(d, outcome, sequence)
    outcome = outcome or join_pieces(call('HMGET', d.key, 'p1', 'p2', 'p3',
        'p4', 'p5', 'p6'), 1)
    close_email(d, outcome_text('0', d.s, d.g, shared_int(d.a),
        shared_int(now), outcome), d.dup and '0' or '', '', sequence)
end

local function close_all(email, sequence)
    local first = load(email .. ':0')
    local outcomes, dups, came_back = {}, {}, ''
    for n = 0, first.m - 1 do
        local text, dup, fu = outcome_stored(email, n)
        if text then
            table.insert(outcomes, text)
        end
        if dup then
            table.insert(dups, n)
        end
        if fu then
            came_back = came_back .. ' ' .. n .. fu
        end
    end
    close_email(first, table.concat(outcomes, ','), table.concat(dups, ','),
        came_back, sequence)
end

-- Makes it final. outcome: the worker's code,"enhanced","reply"; nil: the
-- one of its last attempt stays. second: a follow-up event.
local function finish(d, state, kind, outcome, fields, second)
    leave(d)
    if d.dl then
        call('ZREM', P .. 'exp', d.id)
    end
    fields = attempt_fields(d, fields)
    local is_single = d.m == '1'
    local sequence = raise(d, kind, '1', fields, is_single)
    if second then
        sequence = raise(d, second, '1', fields, is_single)
    end
    final = final + 1
    if d.oc then
        uncounted[d.o] = (uncounted[d.o] or 0) + 1
    end
    d.s = state
    if is_single then
        close_single(d, outcome, sequence)
        return
    end
    local args = { 's', state, 'a', d.a, 'e', shared_int(now) }
    if outcome then
        add_pieces(args, outcome)
    end
    call('HSET', d.key, unpack(args))
    if call('HINCRBY', P .. 'd:' .. d.email .. ':0', 'left', -1) == 0 then
        close_all(d.email, sequence)
    end
end

-- ---- the moves between the states that are not final ----------------------

-- Into the bag of an owner who is being moved: off the counters, and out of
-- exp. Whoever calls has taken it out of its place.
local function pack(d, score)
    if d.dl then
        call('ZREM', P .. 'exp', d.id)
    end
    call('HSET', d.key, 'mv', 1)
    call('RPUSH', P .. 'bag:' .. d.o, 'd ' .. score .. ' ' .. d.id)
    call('HINCRBY', P .. 'n', 'accepted', -1)
end

-- Into its flow, or among the suspects, whom heartbeats look for (alone.lua).
local function line_up(d, front)
    if is_leaving(d.o) then
        pack(d, 0)
    elseif d.sc then
        call('RPUSH', P .. 'suspect', d.id)
    else
        flow_push(d.l, d.o, d.r, d.id, front)
    end
end

-- The dead begin anew, as suspects.
local function requeue(d, front)
    leave(d)
    if d.s == 'k' then
        d.sc = '0'
        call('HSET', d.key, 'sc', 0)
    end
    d.s = 'q'
    call('HSET', d.key, 's', 'q')
    line_up(d, front)
end

local function postpone(d, due)
    leave(d)
    d.s = 'u'
    call('HSET', d.key, 's', 'u', 'du', due)
    call('ZADD', P .. 'due:' .. d.l, due, d.id)
end

-- Of what a worker told: the phases of the attempt, added up.
local function upstream_ms(fields)
    local sum = 0
    local phases = string.match(fields, '"p":%[([%d,]*)%]') or ''
    for ms in string.gmatch(phases, '%d+') do
        sum = sum + ms
    end
    return sum
end

-- Where the time of a mail went that has come too late; what no attempt told
-- of is the queue's. Without an attempt at the end the last one's reply tells
-- what kept it.
local function late_fields(d, fields)
    local at_upstreams = (tonumber(d.tu) or 0) + upstream_ms(fields)
    local waited = (tonumber(d.tr) or 0)
    if d.s == 'u' then
        waited = math.max(0, waited - math.max(0, d.du - now))
    end
    local queued = math.max(0, now - d.f - at_upstreams - waited)
    local reply = ''
    if fields == '' and d.p1 then
        local pieces = { d.p1, d.p2, d.p3, d.p4, d.p5, d.p6 }
        local code, enhanced, text = string.match(join_pieces(pieces, 1),
            '^(%d+),(".-"),(".*")$')
        reply = code and ',"c":' .. code .. ',"ec":' .. enhanced .. ',"r":' ..
            text or ''
    end
    return fields .. reply .. ',"tq":' .. int(queued) .. ',"tr":' ..
        int(waited) .. ',"tu":' .. int(at_upstreams)
end

-- A planned retry, told to the owner.
local function delay(d, due, outcome, fields)
    if d.sc then -- its worker lived to tell of it
        d.sc = nil
        call('HDEL', d.key, 'sc', 'al')
    end
    d.dd = (tonumber(d.dd) or 0) + 1
    local args = { 'a', d.a, 'dd', d.dd,
        'tu', int((tonumber(d.tu) or 0) + upstream_ms(fields)),
        'tr', int((tonumber(d.tr) or 0) + math.max(0, due - now)) }
    add_pieces(args, outcome)
    call('HSET', d.key, unpack(args))
    raise(d, 'delivery_delayed', d.dd,
        attempt_fields(d, ',"next":' .. due .. fields))
    postpone(d, due)
end

-- The next try lies past the end: expired, told apart from a plain wait.
local function soft(d, due, outcome, fields)
    d.a = d.a + 1
    if d.x > 0 and due >= d.x then
        finish(d, 'E', 'expired', outcome, late_fields(d, fields))
        return
    end
    delay(d, due, outcome, fields)
end

-- Until an operator or the end of its life. What its worker told, if that
-- lives, is kept for the operator.
local function hold(d, outcome, fields)
    local upstream = string.match(fields, '"u":"([^"]*)"') or ''
    local args = { 's', 'h', 'hs', int(now), 'hw', outcome == '' and 'w' or 'r',
        'hu', upstream }
    if outcome ~= '' then
        add_pieces(args, outcome)
    end
    leave(d)
    d.s = 'h'
    call('HSET', d.key, unpack(args))
    call('ZADD', P .. 'held', d.x > 0 and d.x or now + LIFE_MAX, d.id)
end

-- Lost after the dot. due 0: again at once (a child died); else by the plan,
-- since a server that takes mails and hangs up would get copies at full speed.
-- A next try past the end of its life: nobody will ever know, so it failed.
local function unknown(d, due, outcome, fields)
    d.a = d.a + 1
    d.dup = '1'
    call('HSET', d.key, 'a', d.a, 'dup', 1)
    if d.k == 'f' then
        finish(d, 'F', 'failed', outcome, fields .. ',"why":"unknown_outcome"')
    elseif d.k == 'h' then
        hold(d, outcome, fields)
    elseif d.x > 0 and math.max(due, now) >= d.x then
        finish(d, 'F', 'failed', outcome, fields .. ',"why":"unknown_outcome"')
    elseif due == 0 then
        requeue(d, true)
    else
        delay(d, due, outcome, fields)
    end
end

-- Its time is over. False: it is under way behind the mark, whose outcome
-- decides.
local function expire(d)
    if d.s == 'x' then
        return false
    end
    if d.s == 'h' or d.s == 'k' then
        local why = d.s == 'h' and 'unknown_outcome' or 'poison'
        finish(d, 'F', 'failed', nil, ',"why":"' .. why .. '"')
    elseif d.nr then
        finish(d, 'F', 'failed', nil, ',"why":"no_route"')
    else
        finish(d, 'E', 'expired', nil, late_fields(d, ''))
    end
    return true
end

-- ---- at the end of a script -----------------------------------------------

-- Before anything is claimed: what was given back may be claimed again.
local function let_go()
    for epoch, ids in pairs(gone) do
        call('SREM', P .. 'own:' .. epoch, unpack(ids))
    end
    gone = {}
end

-- May be called before, for what was done so far. What it answers is of all,
-- for the counters: {kind, how many, ...}.
local function settle()
    let_go()
    for owner in pairs(touched) do
        announce(owner, call('HGET', P .. 'o:' .. owner, 'ev'))
    end
    touched = {}
    flush_unlinks()
    flush_ended()
    if final > 0 then
        call('HINCRBY', P .. 'n', 'final', final)
        final = 0
    end
    if leftovers ~= 0 then
        call('HINCRBY', P .. 'n', 'leftovers', leftovers)
        leftovers = 0
    end
    for owner, count in pairs(uncounted) do
        call('HINCRBY', P .. 'o:' .. owner, 'open', -count)
    end
    uncounted = {}
    book()
    local counts = {}
    for kind, count in pairs(raised) do
        table.insert(counts, 'email.' .. kind)
        table.insert(counts, count)
    end
    for origin, count in pairs(listed) do
        table.insert(counts, 'suppression.' .. origin)
        table.insert(counts, count)
    end
    return counts
end
