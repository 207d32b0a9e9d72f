#!lua flags=no-writes
-- needs: prelude history baggage
-- What is to be copied of an owner whose bag is packed, some 256 KiB a call.
-- ARGV: 1 owner, 2 cursor ('': from the start).
-- Answers {next cursor ('': that was all), then of each key, or part of one:
-- name, kind, time to live (ms, -1: none), how many values are before these,
-- how many values, values}: what move_write.lua takes.
-- Kinds: s string, h hash, S set, l list, z sorted set (member, score), x
-- stream (id, count of texts, fields and values), X stream without entries (its last id).
local owner, cursor = ARGV[1], ARGV[2]
local BYTES = 262144
local PART = 500   -- values, at most, of what may be long
local ENTRIES = 50 -- of the bag
local SCAN = 500   -- keys
local KINDS = { c = 's', h = 's', b = 's', i = 's', fan = 's', prj = 's',
    d = 'h', o = 'h', used = 'h', we = 'h', wt = 'h', r = 'S', t = 'l',
    a = 'l', w = 'l', bag = 'l', keys = 'z', x = 'z', ev = 'x', wa = 'x',
    su = 'H', slb = 'z', slc = 'z', slm = 'z', sx = 'z', tp = 'h',
    ta = 'h', tl = 'z', ['do'] = 'H', dn = 'H', dk = 'H', dx = 'z', dd = 'z' }
local answer = { '' }
local bytes = 0

local function add(name, kind, before, values)
    local ttl = call('PTTL', P .. name)
    for _, part in ipairs({ name, kind, int(ttl), int(before),
        int(#values) }) do
        answer[#answer + 1] = part
    end
    for _, value in ipairs(values) do
        answer[#answer + 1] = value
        bytes = bytes + #value + 16
    end
end

local get = {}

function get.s(key)
    local value = call('GET', key)
    return value and { value } or {}
end

function get.h(key)
    return call('HGETALL', key)
end

function get.S(key)
    return call('SMEMBERS', key)
end

local function read_whole(name, kind)
    local values = get[kind](P .. name)
    if #values > 0 then
        add(name, kind, 0, values)
    end
end

local function read_list(name, from)
    local values = call('LRANGE', P .. name, from, from + PART - 1)
    if #values > 0 then
        add(name, 'l', from, values)
    end
    return #values == PART and int(from + PART) or nil
end

local function read_sorted(name, from)
    local values = call('ZRANGE', P .. name, from, from + PART - 1,
        'WITHSCORES')
    if #values > 0 then
        add(name, 'z', from, values)
    end
    return #values == 2 * PART and int(from + PART) or nil
end

-- A hash of many fields, in the parts that its cursor makes; what comes twice
-- is written twice. cursor 0 begins, so a part that is not the first one has
-- another.
local function read_large_hash(name, from)
    local found = call('HSCAN', P .. name, from, 'COUNT', PART)
    if #found[2] > 0 then
        add(name, 'h', from == '0' and 0 or 1, found[2])
    end
    return found[1] ~= '0' and found[1] or nil
end

-- All of its events were swept: the last id must go on.
local function read_empty_stream(name)
    local cut = call('HGET', P .. 'o:' .. owner, 'cut')
    if cut and call('EXISTS', P .. name) == 1 then
        add(name, 'X', 0, { cut })
    end
end

-- id, how many texts, fields and their values.
local function read_stream(name, from)
    local entries = call('XRANGE', P .. name, from == '0' and '-' or from, '+',
        'COUNT', PART)
    local values = {}
    for _, entry in ipairs(entries) do
        values[#values + 1] = entry[1]
        values[#values + 1] = int(#entry[2])
        for _, value in ipairs(entry[2]) do
            values[#values + 1] = value
        end
    end
    if #values > 0 then
        add(name, 'x', from == '0' and 0 or 1, values)
    elseif from == '0' then
        read_empty_stream(name)
    end
    return #entries == PART and '(' .. entries[PART][1] or nil
end

local READ = { l = read_list, z = read_sorted }

-- Where to go on in it; nil: it is read.
local function read(name, from)
    local kind = KINDS[string.match(name, '^(%a+):')]
    if kind == 'x' then
        return read_stream(name, from)
    elseif kind == 'H' then
        return read_large_hash(name, from)
    elseif READ[kind] then
        return READ[kind](name, tonumber(from))
    end
    read_whole(name, kind)
    return nil
end

local function is_full()
    return bytes >= BYTES
end

-- The keys of the emails in the bag. place: of an entry; part: keys of its
-- email that are read; from: place within the next one.
local function read_emails(place, part, from)
    local entries = call('LRANGE', bag_key(owner), place, place + ENTRIES - 1)
    for _, entry in ipairs(entries) do
        local names = email_keys(entry) or {}
        while part < #names do
            if is_full() then
                return 'e ' .. int(place) .. ' ' .. int(part) .. ' ' .. from
            end
            from = read(names[part + 1], from) or '0'
            part = from == '0' and part + 1 or part
        end
        place, part = place + 1, 0
    end
    return #entries == ENTRIES and 'e ' .. int(place) .. ' 0 0' or 'n 0 0 0'
end

local function read_names(part, from)
    local names = names_of_owner(owner)
    while part < #names do
        if is_full() then
            return 'n 0 ' .. int(part) .. ' ' .. from
        end
        from = read(names[part + 1], from) or '0'
        part = from == '0' and part + 1 or part
    end
    return 'x ' .. int(newest_day()) .. ' 0 0'
end

local function read_index(day, from)
    local days, next_day = index_days(owner, day, 1)
    if days[1] then
        local more = read('x:' .. owner .. ':' .. int(days[1]), from)
        if more then
            return 'x ' .. int(days[1]) .. ' 0 ' .. more
        end
    end
    return next_day and 'x ' .. int(next_day) .. ' 0 0' or 's 0 0 0'
end

local function read_found(from)
    local next_cursor, names = scan_names(owner, from, SCAN)
    for _, name in ipairs(names) do
        read(name, '0')
    end
    return next_cursor == '0' and '' or 's ' .. next_cursor .. ' 0 0'
end

-- First what o:<owner> will be, and the bag.
local function read_bag(from)
    if from == '0' then
        read_whole('o:' .. owner, 'h')
    end
    local more = read('bag:' .. owner, from)
    return more and 'b 0 0 ' .. more or 'e 0 0 0'
end

local phase, a, b, from = string.match(cursor, '^(%a) (%d+) (%d+) (%S+)$')
if not phase or phase == 'b' then
    answer[1] = read_bag(from or '0')
elseif phase == 'e' then
    answer[1] = read_emails(tonumber(a), tonumber(b), from)
elseif phase == 'n' then
    answer[1] = read_names(tonumber(b), from)
elseif phase == 'x' then
    answer[1] = read_index(tonumber(a), from)
else
    answer[1] = read_found(a)
end
return answer
