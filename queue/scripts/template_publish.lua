#!lua
-- needs: prelude idempotency templates
-- The draft becomes what is sent. ARGV: 1 owner, 2 hash of the idempotency key
-- ('' none), 3 fingerprint, 4 which ("i<id>" or "a<alias>").
-- Answers {'ok', 200, answer}, {'missing'}, or as idempotency_look.
local owner, key_hash, fingerprint, which = unpack(ARGV)

local refusal = no_change(owner) or
    idempotency_look(owner, key_hash, fingerprint)
if refusal then
    return refusal
end
local id = template_find(owner, which)
if not id then
    return { 'missing' }
end
local key = template_key(owner, id)
local versions = call('HMGET', key, 'dv', 'pv')
local draft, published = versions[1], versions[2]

if draft ~= published then
    if published ~= '' then
        template_drop_source(owner, key, published)
    end
    call('HSET', key, 'pv', draft, 'pu', int(clock()))
end
local answer = '{"object":"template","id":"' .. id .. '"}'
idempotency_keep(owner, key_hash, fingerprint, '200', answer)
return { 'ok', 200, answer }
