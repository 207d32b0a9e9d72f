#!lua
-- needs: prelude idempotency
-- endpoint_create OWNER ID KEY_HASH FINGERPRINT ANSWER SECRET FIELD VALUE...
-- ANSWER is what a replay gets, with status 201; SECRET is sealed, or "" for
-- want of a keyring.
-- Answers {"ok"}, {"full"}, {"no_keyring"}, or as
-- idempotency_look.
local ENDPOINTS_MAX = 100 -- of one owner
local owner, id, hash, fingerprint = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local all = P .. 'r:webhook:' .. owner

local seen = idempotency_look(owner, hash, fingerprint)
if seen then
    return seen
end
local refusal = no_change(owner)
if refusal then
    return refusal
end
if ARGV[6] == '' then
    return {'no_keyring'}
end
if call('SCARD', all) >= ENDPOINTS_MAX then
    return {'full'}
end
call('SADD', all, id)
call('HSET', P .. 'we:' .. id, 'owner', owner, 'secret', ARGV[6],
    unpack(ARGV, 7))
idempotency_keep(owner, hash, fingerprint, 201, ARGV[5])
return {'ok'}
