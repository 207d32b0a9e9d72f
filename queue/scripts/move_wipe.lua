#!lua flags=allow-oom
-- needs: prelude history baggage
-- Deletes what is left of an owner where he does not live (any more), a step a
-- call; his o:<owner> stays and sends on who has an old view.
-- ARGV: 1 owner, 2 cursor ('': from the start).
-- Answers {next cursor ('': that was all), how many keys it deleted}.
local owner, cursor = ARGV[1], ARGV[2]
local ENTRIES = 50 -- of the bag
local EVENTS = 500
local SCAN = 500   -- keys
local me, bag = P .. 'o:' .. owner, bag_key(owner)
local deleted = 0

local function delete(names)
    for _, name in ipairs(names) do
        deleted = deleted + call('UNLINK', P .. name)
    end
end

-- Before the deliveries, which tell what of the acceptances was charged.
local function wipe_events()
    local key = P .. 'ev:' .. owner
    local entries = call('XRANGE', key, '-', '+', 'COUNT', EVENTS)
    for _, entry in ipairs(entries) do
        charged = charged - event_bytes(entry[2][2])
    end
    if #entries < EVENTS then
        delete({ 'ev:' .. owner })
        return 'e'
    end
    local ms, number = string.match(entries[EVENTS][1], '^(%d+)-(%d+)$')
    call('XTRIM', key, 'MINID', ms .. '-' .. int(number + 1))
    return 'v'
end

local function wipe_emails()
    local entries = call('LRANGE', bag, 0, ENTRIES - 1)
    for _, entry in ipairs(entries) do
        local names, email = email_keys(entry)
        if names then
            charged = charged -
                list_bytes(call('LRANGE', P .. 't:' .. email, 0, -1))
            charge_attempts(
                -list_bytes(call('LRANGE', P .. 'a:' .. email, 0, -1)))
            delete(names)
        end
    end
    call('LTRIM', bag, ENTRIES, -1)
    return #entries == ENTRIES and 'e' or 'x ' .. int(newest_day())
end

local function wipe_index(day)
    local days, next_day = index_days(owner, day, 10)
    for _, found in ipairs(days) do
        local name = 'x:' .. owner .. ':' .. int(found)
        charged = charged - call('ZCARD', P .. name) * INDEX_BYTES
        delete({ name })
    end
    return next_day and 'x ' .. int(next_day) or 's 0'
end

local function wipe_found(from)
    local next_cursor, names = scan_names(owner, from, SCAN)
    delete(names)
    return next_cursor == '0' and 'n' or 's ' .. next_cursor
end

local function wipe_names()
    delete(names_of_owner(owner))
    delete({ 'bag:' .. owner, 'flows:' .. owner, 'mo:' .. owner })
    call('DEL', me)
    call('HSET', me, 'frozen', 'moved')
    return ''
end

local phase, a = string.match(cursor, '^(%a) ?(%d*)$')
if not phase then
    call('HSET', me, 'frozen', 'moved')
    cursor = 'v'
elseif phase == 'v' then
    cursor = wipe_events()
elseif phase == 'e' then
    cursor = wipe_emails()
elseif phase == 'x' then
    cursor = wipe_index(tonumber(a))
elseif phase == 's' then
    cursor = wipe_found(a)
else
    cursor = wipe_names()
end
book()
return { cursor, deleted }
