-- How much comes and goes, counted in slots of time:
--
--     {N}:tr:<slot>  hash  "<owner>:a<lane>" recipients accepted,
--                          "<owner>:d<lane>" delivered; without an owner: of
--                          all. Gone when nobody asks for it any more
--
-- Each child counts for itself and tells once a second (traffic.c), so no mail
-- costs a command.
local SLOT_MS = 10000
local SLOTS = 6 -- whole ones that a rate is of, beside the one under way
local KINDS = { 'a', 'd' }

local function traffic_slot(now)
    return math.floor(now / SLOT_MS)
end

local function traffic_key(slot)
    return P .. 'tr:' .. string.format('%d', slot)
end

local function traffic_fields(owner)
    local fields = {}
    for _, kind in ipairs(KINDS) do
        for lane = 0, 3 do
            fields[#fields + 1] = owner .. ':' .. kind .. lane
        end
    end
    return fields
end

-- Of the owner ('': all): {accepted of lanes 0 to 3, delivered of lanes 0 to
-- 3, in how many ms}.
local function traffic_of(owner, now)
    local first = traffic_slot(now) - SLOTS
    local sums = { 0, 0, 0, 0, 0, 0, 0, 0 }
    for slot = first, first + SLOTS do
        local counts = call('HMGET', traffic_key(slot),
            unpack(traffic_fields(owner)))
        for i = 1, #sums do
            sums[i] = sums[i] + (tonumber(counts[i]) or 0)
        end
    end
    sums[#sums + 1] = now - first * SLOT_MS
    return sums
end
