-- Places in an owner's stream of events, "<ms>-<number>".

local function is_behind(id, other)
    local ms, number = string.match(id, '^(%d+)-(%d+)$')
    local other_ms, other_number = string.match(other, '^(%d+)-(%d+)$')
    if ms ~= other_ms then
        return tonumber(ms) > tonumber(other_ms)
    end
    return tonumber(number) > tonumber(other_number)
end

-- The email that an event is about; nil: none.
local function email_of(record)
    return string.match(record, '^{"t":"email%.[%w_]+","e":"([%x-]+)"')
end
