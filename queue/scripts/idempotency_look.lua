#!lua flags=no-writes
-- needs: prelude idempotency
-- Whether a POST was answered before. ARGV: owner, hash, fingerprint.
-- Answers {'ok'}: it was not; or what idempotency_look says.
local owner, hash, fingerprint = unpack(ARGV)
return no_look(owner) or idempotency_look(owner, hash, fingerprint) or {'ok'}
