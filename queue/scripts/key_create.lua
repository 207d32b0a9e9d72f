#!lua
-- needs: prelude idempotency
-- Lists a new API key under its owner.
-- ARGV: owner, key id, sha256, idempotency hash ('' without), fingerprint,
--       status, answer.
-- Answers {'ok'}, or what idempotency_look says.
local owner, id, sha, hash, fingerprint, status, answer = unpack(ARGV)
local refusal = no_change(owner)
if refusal then
    return refusal
end
local seen = idempotency_look(owner, hash, fingerprint)
if seen then
    return seen
end
idempotency_keep(owner, hash, fingerprint, status, answer)
call('ZADD', P .. 'keys:' .. owner, 0, id .. sha)
return {'ok'}
