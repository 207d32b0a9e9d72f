#!lua flags=no-writes
-- needs: prelude templates
-- A page of templates, newest first, and one more if there is one; before an
-- id it is the one next to it. ARGV: 1 owner, 2 how many, 3 after, 4 before
-- (ids).
-- Answers {id, alias, name, dv, pv, cr, up, pu} each.
local owner, count, after, before = ARGV[1], tonumber(ARGV[2]) + 1, ARGV[3],
    ARGV[4]
local key = P .. 'tl:' .. owner

local refusal = no_look(owner)
if refusal then
    return refusal
end
local ids = before ~= '' and
    call('ZRANGEBYLEX', key, '(' .. before, '+', 'LIMIT', 0, count) or
    call('ZREVRANGEBYLEX', key, after == '' and '+' or '(' .. after, '-',
        'LIMIT', 0, count)
if before ~= '' then
    table.sort(ids, function(a, b)
        return a > b
    end)
end
local list = {}
for i, id in ipairs(ids) do
    list[i] = call('HMGET', template_key(owner, id), 'alias', 'name', 'dv',
        'pv', 'cr', 'up', 'pu')
    table.insert(list[i], 1, id)
end
return list
