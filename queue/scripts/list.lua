#!lua flags=no-writes
-- needs: prelude summary
-- A stretch of the owner's emails in the order of their ids, from the index
-- that project.lua makes. ARGV: 1 owner, 2 what members of the index begin
-- with (history.lua), 3 and 4 between what ids (exclusive, as texts), 5 '1':
-- the lowest first, 6 and 7 first and last day, 8 how many, 9 what the marks
-- behind the id must hold ('': nothing).
-- Answers {id to go on from ('': there are no more), then of each: email,
-- summary, history, {number, delivery as HGETALL, ...}}; the summary of a
-- final email stands in its history.
local LOOKS_MAX = 500
local REPLY_MAX = 512 * 1024
local ID_LEN = 36

local owner, prefix, low, high = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local is_upward, days = ARGV[5] == '1', { tonumber(ARGV[6]), tonumber(ARGV[7]) }
local count, mark = tonumber(ARGV[8]), ARGV[9]
local answer = { '' }
local items, looks, bytes = 0, 0, 0

local refusal = no_look(owner)
if refusal then
    return refusal
end

local function add(email, summary, history, deliveries)
    for _, part in ipairs({ email, summary, history, deliveries }) do
        table.insert(answer, part)
    end
    items = items + 1
    bytes = bytes + #summary + #history
end

local function deliveries_of(email)
    local first = call('HMGET', P .. 'd:' .. email .. ':0', 's', 'm')
    local mailboxes = first[1] and (first[2] or 1) or 0
    local list = {}
    for n = 0, mailboxes - 1 do
        local fields = call('HGETALL', P .. 'd:' .. email .. ':' .. n)
        if #fields > 0 then
            table.insert(list, n)
            table.insert(list, fields)
            bytes = bytes + 200
        end
    end
    return list
end

-- One that was swept meanwhile is left out.
local function look(email)
    local history = call('GET', P .. 'h:' .. email)
    if history then
        add(email, '', history, {})
        return
    end
    local summary = summary_of(email)
    if summary ~= '' then
        add(email, summary, '', deliveries_of(email))
    end
end

-- True: enough was looked at.
local function is_enough()
    return items == count or looks == LOOKS_MAX or bytes > REPLY_MAX
end

local function members(key, max)
    if is_upward then
        return call('ZRANGEBYLEX', key, '(' .. prefix .. low,
            '(' .. prefix .. high, 'LIMIT', 0, max)
    end
    return call('ZREVRANGEBYLEX', key, '(' .. prefix .. high,
        '(' .. prefix .. low, 'LIMIT', 0, max)
end

local function look_at_day(day)
    local key = P .. 'x:' .. owner .. ':' .. int(day)
    repeat
        local max = math.min(LOOKS_MAX - looks, 2 * (count - items))
        local found = members(key, max)
        for _, member in ipairs(found) do
            local email = string.sub(member, #prefix + 1, #prefix + ID_LEN)
            looks = looks + 1
            if mark == '' or
                string.find(member, mark, #prefix + ID_LEN + 1, true) then
                look(email)
            end
            if is_upward then
                low = email .. '~'
            else
                high = email
            end
            if is_enough() then
                answer[1] = email
                return true
            end
        end
    until #found < max
    return false
end

for day = days[1], days[2], is_upward and 1 or -1 do
    if look_at_day(day) then
        break
    end
end
return answer
