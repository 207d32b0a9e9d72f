#!lua
-- needs: prelude templates
-- A new version becomes the draft; what is published stays. ARGV: 1 owner,
-- 2 which ("i<id>" or "a<alias>"), 3 the newest version as the caller knows
-- it, 4 alias ('' none), 5 name, 6 version, 7 its source ('': it stays as it
-- is).
-- Answers {'ok', 200, answer}, {'missing'}, {'changed'} (another version is the
-- newest), {'taken'} (the alias), {'full'}.
local owner, which, known, alias, name, version, source = unpack(ARGV)

local refusal = no_change(owner)
if refusal then
    return refusal
end
local id = template_find(owner, which)
if not id then
    return { 'missing' }
end
local key = template_key(owner, id)
local old = call('HMGET', key, 'alias', 'dv', 'pv')
local old_alias, draft, published = old[1], old[2], old[3]
if draft ~= known then
    return { 'changed' }
elseif template_is_taken(owner, alias, id) then
    return { 'taken' }
elseif not template_has_room(owner, #source) then
    return { 'full' }
end

if old_alias ~= alias then
    if old_alias ~= '' then
        call('HDEL', P .. 'ta:' .. owner, old_alias)
    end
    if alias ~= '' then
        call('HSET', P .. 'ta:' .. owner, alias, id)
    end
end
if source ~= '' then
    if draft ~= published then
        template_drop_source(owner, key, draft)
    end
    call('HSET', key, 'dv', version, 'd' .. version, source)
    template_charge(owner, #source)
end
call('HSET', key, 'alias', alias, 'name', name, 'up', int(clock()))
return { 'ok', 200, '{"object":"template","id":"' .. id .. '"}' }
