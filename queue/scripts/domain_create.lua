#!lua
-- needs: prelude history idempotency domains domain_change
-- Stores a domain whose name is claimed. ARGV: 1 owner, 2 id, 3 hash of the
-- idempotency key ('' none), 4 fingerprint, 5 answer, 6 name, 7 text, 8 time of
-- its first check (0: none), 9 id of its generation, 10 private halves of that
-- one, 11 type of the event, 12 members of its data.
-- Answers {'ok'}, {'exists'}, {'full'}, or as idempotency_look.
local DOMAINS_MAX = 1000 -- domains.h
local owner, id, key_hash, fingerprint = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local name = ARGV[6]
local names = P .. 'dn:' .. owner

local refusal = no_change(owner) or
    idempotency_look(owner, key_hash, fingerprint)
if refusal then
    return refusal
end
if call('HEXISTS', names, name) == 1 then
    return { 'exists' }
end
if call('HLEN', names) >= DOMAINS_MAX then
    return { 'full' }
end
call('HSET', names, name, id)
call('HSET', P .. 'do:' .. owner, id, '1 ' .. ARGV[7])
call('HSET', P .. 'dk:' .. owner, ARGV[9], name .. ' ' .. ARGV[10])
local now = clock()
domain_due(owner, id, ARGV[8], now)
domain_tell(owner, id, '1', 11, now)
idempotency_keep(owner, key_hash, fingerprint, '201', ARGV[5])
return { 'ok' }
