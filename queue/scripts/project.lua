#!lua flags=allow-oom
-- needs: prelude history streams
-- project OWNER COUNT KEEP_MS
-- Takes up to COUNT new events of the owner to what is made from them, in one
-- step with the cursor: the timelines of their emails, and the index of the
-- emails that were accepted. Takes the owner off evring when fan-out and
-- projection have seen all.
-- sweep.lua ends both; KEEP_MS, longer than that, bounds what it cannot know
-- of.
-- Answers 1 when there is more, else 0.
local owner, count, keep_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if is_leaving(owner) then
    return 0
end
local events = P .. 'ev:' .. owner
local cursor = call('GET', P .. 'prj:' .. owner) or '0-0'
local entries = call('XRANGE', events, '(' .. cursor, '+', 'COUNT', count)
local touched, days = {}, {}

-- It was swept before its events came here: nothing would end what is made of
-- them.
local function is_gone(email)
    return call('EXISTS', P .. 'c:' .. email, P .. 'd:' .. email .. ':0',
        P .. 'h:' .. email) == 0
end

-- False: it is none.
local function add_to_timeline(email, record)
    local key = P .. 't:' .. email
    local items = call('RPUSH', key, record)
    if items == 1 and is_gone(email) then
        call('DEL', key)
        return false
    end
    charged = charged + #record + ITEM_BYTES +
        (items == 1 and TIMELINE_BYTES or 0)
    touched[email] = true
    return true
end

-- All scores are 0: members are in the order of their bytes, which is that of
-- the ids' time.
local function add_to_index(email, record)
    local marks = string.match(record, '"x":"([^"]*)"') or ''
    local key = index_key(owner, email)
    local args = { 0, 't' .. email .. marks }
    for mark in string.gmatch(marks, '[rg]........') do
        table.insert(args, 0)
        table.insert(args, mark .. email)
    end
    charged = charged + call('ZADD', key, unpack(args)) * INDEX_BYTES
    days[key] = true
end

for _, entry in ipairs(entries) do
    local record = entry[2][2]
    local email = email_of(record)
    cursor = entry[1]
    if email and add_to_timeline(email, record) and is_acceptance(record) then
        add_to_index(email, record)
    end
end
for email in pairs(touched) do
    call('PEXPIRE', P .. 't:' .. email, int(keep_ms))
end
for key in pairs(days) do
    local day = tonumber(string.match(key, '%d+$'))
    call('PEXPIREAT', key, int((day + 1) * DAY_MS + keep_ms))
end
if #entries > 0 then
    call('SET', P .. 'prj:' .. owner, cursor)
    call('ZADD', P .. 'evold', 'NX',
        string.match(entries[1][2][2], '"at":(%d+)'), owner)
    book()
end
if #entries == count then
    return 1
end
local fanned = call('GET', P .. 'fan:' .. owner) or '0-0'
if #call('XRANGE', events, '(' .. fanned, '+', 'COUNT', 1) == 0 then
    call('LREM', P .. 'evring', 0, owner)
    call('HDEL', P .. 'o:' .. owner, 'ev')
end
return 0
