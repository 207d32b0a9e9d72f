#!lua
-- needs: prelude idempotency templates
-- ARGV: 1 owner, 2 hash of the idempotency key ('' none), 3 fingerprint, 4 id,
-- 5 alias ('' none), 6 name, 7 version, 8 its source.
-- Answers {'ok', 201, answer}, {'full'}, {'taken'} (the alias), or as
-- idempotency_look.
local owner, key_hash, fingerprint, id, alias, name, version, source =
    unpack(ARGV)

local refusal = no_change(owner) or
    idempotency_look(owner, key_hash, fingerprint)
if refusal then
    return refusal
elseif template_is_taken(owner, alias, id) then
    return { 'taken' }
elseif call('ZCARD', P .. 'tl:' .. owner) >= TEMPLATES_MAX or
    not template_has_room(owner, #source) then
    return { 'full' }
end
local now = int(clock())

call('HSET', template_key(owner, id), 'alias', alias, 'name', name,
    'dv', version, 'pv', '', 'cr', now, 'up', now, 'pu', '',
    'd' .. version, source)
call('ZADD', P .. 'tl:' .. owner, 0, id)
if alias ~= '' then
    call('HSET', P .. 'ta:' .. owner, alias, id)
end
template_charge(owner, #source)
local answer = '{"object":"template","id":"' .. id .. '"}'
idempotency_keep(owner, key_hash, fingerprint, '201', answer)
return { 'ok', 201, answer }
