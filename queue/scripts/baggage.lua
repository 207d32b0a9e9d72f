-- Of an owner who moves to another partition (docs/queue.md, Moving an owner).
-- What is his in places that all owners share goes into his bag, and out of
-- the counters, while it is on its way:
--
--   {N}:bag:<owner>    list  "d <score> <id>"    an open delivery; score: where
--                              it stood in held or dead
--                            "e <line>"          a line of ended
--                            "w <score> <task>"  a webhook task of wdue
--   {N}:flows:<owner>  list  "<lane>:<route>" of flows that are not packed yet
--   {N}:o:<owner>      packed: the backlog of his endpoints is off the counters;
--                        was: he was frozen before
--   {M}:mo:<owner>     what o:<owner> will be, until the owner lives there
--
-- A delivery in a bag has mv, by which load (deliveries.lua) overlooks it.
local LINE = '^(%d+) (%d+) (%d+) (%d+) (%d+) (%S+) (%S+)$'

local function bag_key(owner)
    return P .. 'bag:' .. owner
end

local function endpoints_of(owner)
    return call('SMEMBERS', P .. 'r:webhook:' .. owner)
end

-- Keys of the email that an entry of the bag is about; nil: about none.
local function email_keys(entry)
    local kind = string.sub(entry, 1, 1)
    local email, chunks
    if kind == 'd' then
        email = string.match(entry, '^d %S+ (%S+):%d+$')
    elseif kind == 'e' then
        local _
        _, _, _, chunks, _, email = string.match(string.sub(entry, 3), LINE)
    else
        return nil
    end
    local names = { 'c:' .. email, 'h:' .. email, 't:' .. email,
        'a:' .. email }
    local first = call('HMGET', P .. 'd:' .. email .. ':0', 's', 'm', 'b')
    if first[1] then
        chunks = first[3] or chunks
        for n = 0, (first[2] or 1) - 1 do
            names[#names + 1] = 'd:' .. email .. ':' .. n
        end
    end
    for i = 0, (tonumber(chunks) or 0) - 1 do
        names[#names + 1] = 'b:' .. email .. ':' .. i
    end
    return names, email
end

-- Keys that a name alone leads to, but for the index; the last two lead to
-- others, and so are deleted last.
local function names_of_owner(owner)
    local names = { 'keys:' .. owner, 'used:' .. owner, 'fan:' .. owner,
        'prj:' .. owner, 'ev:' .. owner, 'su:' .. owner, 'slb:' .. owner,
        'slc:' .. owner, 'slm:' .. owner, 'sx:' .. owner, 'do:' .. owner,
        'dn:' .. owner, 'dk:' .. owner, 'dx:' .. owner, 'dd:' .. owner }
    for _, endpoint in ipairs(endpoints_of(owner)) do
        for _, kind in ipairs({ 'we:', 'w:', 'wa:' }) do
            names[#names + 1] = kind .. endpoint
        end
    end
    for _, template in ipairs(call('ZRANGE', P .. 'tl:' .. owner, 0, -1)) do
        names[#names + 1] = 'tp:' .. owner .. ':' .. template
    end
    names[#names + 1] = 'ta:' .. owner
    names[#names + 1] = 'tl:' .. owner
    names[#names + 1] = 'r:webhook:' .. owner
    return names
end

-- Days that his index may have, newest first, from that one on: at most max,
-- and the day to go on from; nil: there are no more.
local DAYS_MAX = 4000

local function newest_day()
    return math.floor(clock() / DAY_MS) + 2
end

local function index_days(owner, day, max)
    local days, last = {}, math.max(0, newest_day() - DAYS_MAX)
    for _ = 1, 500 do
        if day < last then
            return days, nil
        elseif call('EXISTS', P .. 'x:' .. owner .. ':' .. int(day)) == 1 then
            days[#days + 1] = day
        end
        day = day - 1
        if #days == max then
            break
        end
    end
    return days, day
end

-- Keys that only a look at all keys finds: answers to his Idempotency-Keys,
-- and webhook tasks.
local function scan_names(owner, cursor, count)
    local found = call('SCAN', cursor, 'MATCH', P .. '*', 'COUNT', count)
    local answers, endpoints, names = 'i:' .. owner .. ':', {}, {}
    for _, endpoint in ipairs(endpoints_of(owner)) do
        endpoints[endpoint] = true
    end
    for _, key in ipairs(found[2]) do
        local name = string.sub(key, #P + 1)
        if (string.sub(name, 1, #answers) == answers and
            #name == #answers + 64) or
            endpoints[string.match(name, '^wt:([^:]+):') or ''] then
            names[#names + 1] = name
        end
    end
    return found[1], names
end
