#!lua flags=no-writes
-- needs: prelude
-- Domains of an owner, newest first. ARGV: 1 owner, 2 "i<id>" or "n<name>" of
-- one ('': a page), 3 how many, 4 after, 5 before (ids). There is one more than
-- asked for if there is one; before an id it is the one next to it.
-- Answers {id, version and text} each.
local owner, one = ARGV[1], ARGV[2]
local count, after, before = tonumber(ARGV[3]) + 1, ARGV[4], ARGV[5]
local all = P .. 'do:' .. owner
local ids, list = {}, {}

local refusal = no_look(owner)
if refusal then
    return refusal
end
if string.sub(one, 1, 1) == 'i' then
    ids[1] = string.sub(one, 2)
elseif one ~= '' then
    ids[1] = call('HGET', P .. 'dn:' .. owner, string.sub(one, 2)) or nil
else
    for _, id in ipairs(call('HKEYS', all)) do
        if (after == '' or id < after) and (before == '' or id > before) then
            ids[#ids + 1] = id
        end
    end
    table.sort(ids, function(a, b)
        return a > b
    end)
end
local first = before ~= '' and math.max(1, #ids - count + 1) or 1
for i = first, math.min(#ids, first + count - 1) do
    local text = call('HGET', all, ids[i])
    if text then
        list[#list + 1] = { ids[i], text }
    end
end
return list
