#!lua flags=no-writes
-- needs: prelude suppressions suppression_change
-- The suppressions in force. ARGV: 1 owner, 2 one of them ("i<id>" or
-- "h<hash>"; '': a page), 3 how many, 4 after, 5 before (ids), 6 origin
-- ('': all). A page has the newest first, and one more if there is one; before
-- an id it is the one next to it.
-- Answers {id, origin, created, until, count, source, reason, address} each.
local owner, one = ARGV[1], ARGV[2]
local count, after, before = tonumber(ARGV[3]) + 1, ARGV[4], ARGV[5]
local list = {}

now = clock()
local refusal = no_look(owner)
if refusal then
    return refusal
end

local function add(s)
    if s then
        list[#list + 1] = { s.id, s.origin, s.created, s.till, s.count,
            s.source, s.reason, s.address }
    end
end

local function members_of(origin)
    local key = P .. 'sl' .. origin .. ':' .. owner
    if before ~= '' then
        return call('ZRANGEBYLEX', key, '(' .. before .. '\255', '+', 'LIMIT',
            0, count)
    end
    return call('ZREVRANGEBYLEX', key, after == '' and '+' or '(' .. after, '-',
        'LIMIT', 0, count)
end

if one ~= '' then
    local _, s = suppression_find(owner, one)
    add(s)
    return list
end
local members = {}
for _, origin in ipairs(ORIGINS) do
    if ARGV[6] == '' or ARGV[6] == origin then
        for _, member in ipairs(members_of(origin)) do
            members[#members + 1] = member
        end
    end
end
table.sort(members, function(a, b)
    return before == '' and a > b or before ~= '' and a < b
end)
for i = 1, math.min(count, #members) do
    add(suppression_read(call('HGET', P .. 'su:' .. owner,
        string.sub(members[i], 37))))
end
if before ~= '' then
    table.sort(list, function(a, b)
        return a[1] > b[1]
    end)
end
return list
