#!lua flags=allow-oom
-- needs: prelude templates
-- ARGV: 1 owner, 2 which ("i<id>" or "a<alias>").
-- Answers {'ok', 200, answer} or {'missing'}.
local owner, which = ARGV[1], ARGV[2]

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
local bytes = call('HSTRLEN', key, 'd' .. old[2])
if old[3] ~= '' and old[3] ~= old[2] then
    bytes = bytes + call('HSTRLEN', key, 'd' .. old[3])
end

template_charge(owner, -bytes)
if old[1] ~= '' then
    call('HDEL', P .. 'ta:' .. owner, old[1])
end
call('ZREM', P .. 'tl:' .. owner, id)
call('UNLINK', key)
return { 'ok', 200, '{"object":"template","id":"' .. id .. '","deleted":true}' }
