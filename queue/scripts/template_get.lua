#!lua flags=no-writes
-- needs: prelude templates
-- One template with a source. ARGV: 1 owner, 2 which ("i<id>" or "a<alias>"),
-- 3 'dv': the newest version, 'pv': the published one, 4 a version whose source
-- the caller has ('': none).
-- Answers {id, alias, name, dv, pv, cr, up, pu, version, source ('': that one)},
-- {} (there is none, or none that is published).
local owner, which, wanted, known = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local refusal = no_look(owner)
if refusal then
    return refusal
end
local id = template_find(owner, which)
if not id then
    return {}
end
local key = template_key(owner, id)
local answer = call('HMGET', key, 'alias', 'name', 'dv', 'pv', 'cr', 'up', 'pu')
local version = call('HGET', key, wanted)
if version == '' then
    return {}
end
table.insert(answer, 1, id)
answer[9] = version
answer[10] = version == known and '' or call('HGET', key, 'd' .. version)
return answer
