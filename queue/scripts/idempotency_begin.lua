#!lua
-- needs: prelude idempotency
-- The first step of a POST that takes more than one script. ARGV: owner,
-- hash, fingerprint, how long the key counts as running if nobody ends it (ms).
-- Answers {'ok'}, or what idempotency_look says.
local owner, hash, fingerprint, running_ms = unpack(ARGV)
local refusal = no_change(owner)
if refusal then
    return refusal
end
local seen = idempotency_look(owner, hash, fingerprint)
if seen then
    return seen
end
call('SET', P .. 'i:' .. owner .. ':' .. hash, fingerprint .. ' 0 ',
    'PX', running_ms)
return {'ok'}
