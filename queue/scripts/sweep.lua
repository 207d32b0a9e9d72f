#!lua flags=allow-oom
-- needs: prelude history streams tasks suppressions
-- function sweep_suppressions: suppression_change sweep_suppressions
-- function sweep_domains: domains sweep_domains
-- Takes away what was kept long enough, and above the limit what is oldest:
-- bodies first, then events and the histories of their emails.
-- ARGV: 1 keep_bodies, 2 keep_events (ms), 3 limit of history_bytes (0: none).
-- Answers {'ok', 1 if it should be called again at once, history_bytes,
-- emails whose history went, 1 if it is for the limit's sake}.
--
-- Events go by time only when nobody needs them any more; above the limit
-- nobody is asked, and a webhook task whose event is gone ends as trimmed.
-- They go before the histories, which their payloads are made from.
local keep_bodies, keep_events = tonumber(ARGV[1]), tonumber(ARGV[2])
local limit = tonumber(ARGV[3])

-- What one call does, so that it takes about a millisecond.
local BODIES_MAX = 100
local EMAILS_MAX = 50
local FORCED_MAX = 20    -- emails, whose events fit into the next number
local EVENTS_MAX = 100  -- of one owner
local OWNERS_MAX = 8

local now = clock()
local counters = call('HMGET', P .. 'n', 'history_bytes', 'bodiless',
    'history_limit')
local bytes, bodiless = tonumber(counters[1]) or 0, tonumber(counters[2]) or 0
local again, swept = false, 0

local function is_over()
    return limit > 0 and bytes + charged > limit
end

local function refund(cost)
    charged = charged - cost
end

-- ---- the lines of ended ---------------------------------------------------

local function parse(text)
    local at, history, body, chunks, sequence, email, owner = string.match(text,
        '^(%d+) (%d+) (%d+) (%d+) (%d+) (%S+) (%S+)$')
    return { at = tonumber(at), history = tonumber(history),
        body = tonumber(body), chunks = tonumber(chunks), sequence = sequence,
        email = email, owner = owner }
end

-- Else it was sent again by hand: it is open, or has a line further on.
local function is_current(line)
    return string.match(call('GETRANGE', P .. 'h:' .. line.email, 0, 31),
        '^{"q":(%d+)') == line.sequence
end

-- ---- bodies ---------------------------------------------------------------

local function wipe_body(line)
    if line.body == 0 then
        return
    end
    refund(line.body)
    if is_current(line) then
        local keys = { P .. 'c:' .. line.email }
        for i = 0, line.chunks - 1 do
            table.insert(keys, P .. 'b:' .. line.email .. ':' .. i)
        end
        call('UNLINK', unpack(keys))
    end
end

local function sweep_bodies()
    local lines = call('LRANGE', P .. 'ended', bodiless,
        bodiless + BODIES_MAX - 1)
    for i, text in ipairs(lines) do
        local line = parse(text)
        if line.at + keep_bodies > now and not is_over() then
            return
        end
        wipe_body(line)
        bodiless = bodiless + 1
        again = again or i == BODIES_MAX
    end
end

-- Those of owners who moved here (history.lua).
local function sweep_arrived_bodies()
    local lines = call('ZRANGE', P .. 'arrivedb', 0, BODIES_MAX - 1)
    for i, text in ipairs(lines) do
        local line = parse(text)
        if line.at + keep_bodies > now and not is_over() then
            return
        end
        wipe_body(line)
        call('ZREM', P .. 'arrivedb', text)
        again = again or i == BODIES_MAX
    end
end

-- ---- events ---------------------------------------------------------------

-- What of an owner's events is still to be told, but for the tasks that were
-- claimed before: those say so themselves.
local function first_needed(owner)
    local read = { call('GET', P .. 'fan:' .. owner) or '0-0',
        call('GET', P .. 'prj:' .. owner) or '0-0' }
    local waiting
    local endpoints = call('SMEMBERS', P .. 'r:webhook:' .. owner)
    for _, endpoint in ipairs(endpoints) do
        local behind = call('HGET', endpoint_key(endpoint), 'behind')
        if behind then
            table.insert(read, behind)
        end
        for _, id in ipairs(call('LRANGE', P .. 'w:' .. endpoint, 0, -1)) do
            if not waiting or is_behind(waiting, id) then
                waiting = id
            end
        end
    end
    return read, waiting, endpoints
end

local OPEN = { flying = true, due = true, waiting = true }

local function is_needed(id, read, waiting, endpoints)
    for _, cursor in ipairs(read) do
        if is_behind(id, cursor) then
            return true
        end
    end
    if waiting and not is_behind(waiting, id) then
        return true
    end
    for _, endpoint in ipairs(endpoints) do
        if OPEN[call('HGET', task_key(endpoint, id), 'state')] then
            return true
        end
    end
    return false
end

-- What is cut off is told by o:<owner> cut, so that no reader overlooks it.
local function cut(owner, last)
    local ms, number = string.match(last, '^(%d+)-(%d+)$')
    call('XTRIM', P .. 'ev:' .. owner, 'MINID', ms .. '-' .. int(number + 1))
    call('HSET', P .. 'o:' .. owner, 'cut', last)
end

-- The acceptance of mail that is open is not charged yet, and will not be.
local function forgo(email)
    if email then
        call('HSET', P .. 'd:' .. email .. ':0', 'ac', 1)
    end
end

-- Cuts the owner's events up to a time. True: all of them are gone, or stay
-- because they are needed; false: there are more.
local function sweep_events(owner, up_to, is_forced)
    if is_leaving(owner) then
        return true
    end
    local entries = call('XRANGE', P .. 'ev:' .. owner, '-', '+', 'COUNT',
        EVENTS_MAX)
    local read, waiting, endpoints
    local last, oldest
    for _, entry in ipairs(entries) do
        local id, record = entry[1], entry[2][2]
        oldest = tonumber(string.match(record, '"at":(%d+)'))
        if oldest > up_to then
            break
        end
        if not is_forced and not read then
            read, waiting, endpoints = first_needed(owner)
        end
        if not is_forced and is_needed(id, read, waiting, endpoints) then
            break
        end
        refund(event_bytes(record))
        forgo(uncharged_email(record))
        last = id
    end
    if last then
        cut(owner, last)
    end
    local is_all = #entries > 0 and last == entries[#entries][1]
    if is_all and #entries < EVENTS_MAX or #entries == 0 then
        call('ZREM', P .. 'evold', owner)
    else
        call('ZADD', P .. 'evold', oldest, owner)
    end
    return not is_all or #entries < EVENTS_MAX
end

-- Owners whose events are needed stay at the head, so it begins elsewhere
-- each time.
local function sweep_events_by_time(up_to)
    local owners = call('ZCOUNT', P .. 'evold', '-inf', up_to)
    local from = owners > OWNERS_MAX and now % owners or 0
    local before = charged
    for _, owner in ipairs(call('ZRANGEBYSCORE', P .. 'evold', '-inf', up_to,
        'LIMIT', from, OWNERS_MAX)) do
        again = not sweep_events(owner, up_to, false) or again
    end
    again = again or (owners > OWNERS_MAX and charged < before)
end

-- ---- histories ------------------------------------------------------------

local function drop_index(line)
    local key = index_key(line.owner, line.email)
    local entry = call('ZRANGEBYLEX', key, '[t' .. line.email,
        '(t' .. line.email .. '~')[1]
    if not entry then
        return
    end
    local members = { entry }
    for hash in string.gmatch(string.sub(entry, 38), '[rg]........') do
        table.insert(members, hash .. line.email)
    end
    call('ZREM', key, unpack(members))
    refund(#members * INDEX_BYTES)
end

local function drop(line)
    refund(line.history)
    if not is_current(line) then
        return
    end
    swept = swept + 1
    refund(list_bytes(call('LRANGE', P .. 't:' .. line.email, 0, -1)))
    charge_attempts(
        -list_bytes(call('LRANGE', P .. 'a:' .. line.email, 0, -1)))
    drop_index(line)
    call('UNLINK', P .. 'h:' .. line.email, P .. 't:' .. line.email,
        P .. 'a:' .. line.email)
end

-- Those of arrived are named by their text. True: its body is still there.
local function leave_arrived(line)
    call('ZREM', P .. 'arrived', line.arrived)
    return call('ZREM', P .. 'arrivedb', line.arrived) == 1
end

-- Drops the first lines, their bodies too if they are still there.
local function drop_lines(lines, count)
    local of_ended = 0
    for i = 1, count do
        local line = lines[i]
        if line.arrived then
            if leave_arrived(line) then
                wipe_body(line)
            end
        elseif bodiless > 0 then
            bodiless = bodiless - 1
        else
            wipe_body(line)
        end
        of_ended = of_ended + (line.arrived and 0 or 1)
        drop(line)
    end
    if of_ended > 0 then
        call('LTRIM', P .. 'ended', of_ended, -1)
    end
end

-- The oldest of ended and arrived together.
local function first_lines(max)
    local lines = {}
    for i, text in ipairs(call('LRANGE', P .. 'ended', 0, max - 1)) do
        lines[i] = parse(text)
    end
    local arrived = call('ZRANGE', P .. 'arrived', 0, max - 1)
    if #arrived == 0 then
        return lines
    end
    for _, text in ipairs(arrived) do
        local line = parse(text)
        line.arrived = text
        lines[#lines + 1] = line
    end
    for i, line in ipairs(lines) do
        line.place = i
    end
    table.sort(lines, function(a, b)
        return a.at < b.at or (a.at == b.at and a.place < b.place)
    end)
    return { unpack(lines, 1, max) }
end

local function sweep_histories_by_time(up_to)
    local lines = first_lines(EMAILS_MAX)
    local count = 0
    while lines[count + 1] and lines[count + 1].at <= up_to do
        count = count + 1
    end
    drop_lines(lines, count)
    again = again or count == EMAILS_MAX
end

-- ---- the limit ------------------------------------------------------------

-- True: no event up to that time is left.
local function force_events(lines, up_to)
    local owners, is_done = {}, true
    for _, line in ipairs(lines) do
        owners[line.owner] = true
    end
    for _, owner in ipairs(call('ZRANGEBYSCORE', P .. 'evold', '-inf', up_to,
        'LIMIT', 0, OWNERS_MAX)) do
        owners[owner] = true
    end
    for owner in pairs(owners) do
        is_done = sweep_events(owner, up_to, true) and is_done
    end
    return is_done
end

-- Events of mail that is still open are all that is left at last.
local function force_oldest()
    local lines = first_lines(FORCED_MAX)
    if #lines > 0 then
        if force_events(lines, lines[#lines].at) then
            drop_lines(lines, #lines)
        end
        again = true
        return
    end
    local oldest = call('ZRANGE', P .. 'evold', 0, 0, 'WITHSCORES')
    if oldest[1] then
        sweep_events(oldest[1], tonumber(oldest[2]) + 1000, true)
        again = true
    end
end

if call('ZCOUNT', P .. 'sold', '-inf', now) > 0 then
    sweep_suppressions(now)
    again = true
end
if call('ZCOUNT', P .. 'dxold', '-inf', now) > 0 then
    sweep_domains(now)
    again = true
end
sweep_bodies()
sweep_arrived_bodies()
local is_forced = is_over()
if is_forced and bodiless >= call('LLEN', P .. 'ended') and
    call('EXISTS', P .. 'arrivedb') == 0 then
    force_oldest()
else
    sweep_events_by_time(now - keep_events)
    sweep_histories_by_time(now - keep_events)
end
if bodiless ~= (tonumber(counters[2]) or 0) then
    call('HSET', P .. 'n', 'bodiless', bodiless)
end
if limit ~= (tonumber(counters[3]) or 0) then
    call('HSET', P .. 'n', 'history_limit', int(limit))
end
bytes = bytes + charged
book()
return { 'ok', again and 1 or 0, bytes, swept, is_forced and 1 or 0 }
