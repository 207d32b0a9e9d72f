#!lua flags=allow-oom
-- needs: prelude history deliveries suppressions
-- function suppress: suppression_change suppression_tell suppress
-- Takes down what came back of a delivery that has ended: once each, as an
-- event behind its end; its state stays as it is. ARGV: 1 owner, 2 email,
-- 3 number, 4 what: b bounced, d delivered, c complained, 5 fields of the
-- event, 6 what goes on the list of suppressions ('' nothing; suppress.lua),
-- 7 why: code,"enhanced","reply".
-- The caller has seen whose email it is.
-- Answers {word, 1 if an address came on the list, event counts}. The words:
-- taken, known (it was taken before), open (it has not ended, ask again later),
-- ended (otherwise than sent), gone (nothing is known of it any more).
local owner, email, number, what = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local fields, suppressed, outcome = ARGV[5], ARGV[6], ARGV[7]
local KINDS = { b = 'bounced', d = 'delivered', c = 'complained' }

-- ---- what is there --------------------------------------------------------

-- A history has, before its outcomes, fu: " 0b1764000000000 2dc1764000000001",
-- what came back of which delivery and when the last of it did, and fq: how many
-- events that were since, because q names its line in ended.
local function find_closed()
    local history = call('GET', P .. 'h:' .. email) or ''
    local sequence, about, rest = string.match(history,
        '^{"q":(%d+)(.-)(,"d":%[.*)$')
    if not sequence then
        return nil
    end
    local state, generation = string.match(string.match(rest, '^[^\n]*'),
        '%[' .. number .. ',"(%a)",(%d+),')
    if not state then
        return nil
    end
    local all = string.match(about, '"fu":"([^"]*)"') or ''
    local events = string.match(about, '"fq":(%d+)') or 0
    about = string.gsub(about, ',"f[uq]":[^,]*', '')
    return { s = state, g = generation, all = all, about = about, rest = rest,
        q = sequence, events = events + 1,
        fu = string.match(all, ' ' .. number .. '(%a+%d+)') or '' }
end

local function find()
    local d = load(email .. ':' .. number)
    if d then
        d.fu = d.fu or ''
    end
    return d or find_closed()
end

-- Why there is nothing to take down; nil: there is.
local function refusal_of(d)
    if not d then
        return 'gone'
    elseif string.find(d.fu, what, 1, true) or (what == 'd' and d.s == 'D') then
        return 'known'
    elseif not is_final(d) then
        return 'open'
    elseif what ~= 'c' and d.s ~= 'S' and d.s ~= 'D' then
        return 'ended'
    end
end

-- ---- what becomes of it ---------------------------------------------------

local function take_closed(d, fu)
    local all = d.fu == '' and d.all .. ' ' .. number .. fu or
        string.gsub(d.all, ' ' .. number .. d.fu, ' ' .. number .. fu)
    call('SET', P .. 'h:' .. email, '{"q":' .. d.q .. d.about .. ',"fu":"' ..
        all .. '","fq":' .. int(d.events) .. d.rest)
    tell({ o = owner, email = email, n = number, g = d.g }, KINDS[what], '1',
        int(d.q + d.events), fields)
end

local function take(d)
    local fu = string.match(d.fu, '^%a*') .. what .. int(now)
    if d.key then
        call('HSET', d.key, 'fu', fu)
        raise(d, KINDS[what], '1', fields)
    else
        take_closed(d, fu)
    end
end

-- ---- read first -----------------------------------------------------------

now = clock()
local frozen = no_change(owner)
if frozen then
    return frozen
end
local d = find()
local refusal = refusal_of(d)
local add
if suppressed ~= '' and not refusal then
    add = suppress(owner, email, now, suppressed, outcome,
        what == 'c' and 'c' or 'b')
end

-- ---- write after ----------------------------------------------------------

if not refusal then
    take(d)
end
local is_listed = add and add() or false
if is_listed then
    touched[owner] = true
    listed[what == 'c' and 'complaint' or 'bounce'] = 1
end
return { refusal or 'taken', is_listed and 1 or 0, settle() }
