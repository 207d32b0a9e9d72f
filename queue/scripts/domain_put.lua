#!lua
-- needs: prelude history idempotency domains domain_change
-- Changes a domain that was read. ARGV: 1 owner, 2 id, 3 hash of the
-- idempotency key ('' none), 4 fingerprint, 5 answer, 6 name, 7 text, 8 time of
-- its next check (0: none), 9 version that was read, 10 id of a new generation
-- ('': none), 11 private halves of that one, then type and members of each
-- event, '', and id of each generation and when its private halves go (0: they
-- stay).
-- Answers {'ok'}, {'stale'}, {'missing'}, or as idempotency_look.
local owner, id, key_hash, fingerprint = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local all = P .. 'do:' .. owner

local refusal = no_change(owner) or
    idempotency_look(owner, key_hash, fingerprint)
if refusal then
    return refusal
end
local version = domain_version(call('HGET', all, id))
if not version then
    return { 'missing' }
elseif version ~= ARGV[9] then
    return { 'stale' }
end
call('HSET', all, id, int(version + 1) .. ' ' .. ARGV[7])
if ARGV[10] ~= '' then
    call('HSET', P .. 'dk:' .. owner, ARGV[10], ARGV[6] .. ' ' .. ARGV[11])
end
local now = clock()
domain_due(owner, id, ARGV[8], now)
local at = domain_tell(owner, id, int(version + 1), 12, now)
while ARGV[at] do
    domain_key_goes(owner, ARGV[at], ARGV[at + 1])
    at = at + 2
end
idempotency_keep(owner, key_hash, fingerprint, '200', ARGV[5])
return { 'ok' }
