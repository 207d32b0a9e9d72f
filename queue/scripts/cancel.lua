#!lua flags=allow-oom
-- needs: prelude summary history deliveries idempotency
-- Withdraws what of an email was not marked yet. ARGV: 1 owner, 2 email,
-- 3 keep_bodies (ms), 4 hash of the idempotency key ('' none), 5 fingerprint.
-- Answers {'ok', how many deliveries it stopped; 0 as well for another's
-- email}, or what idempotency_look says.
local owner, email, hash, fingerprint = ARGV[1], ARGV[2], ARGV[4], ARGV[5]
keep_bodies = tonumber(ARGV[3])
local refusal = no_change(owner)
if refusal then
    return refusal
end
local seen = idempotency_look(owner, hash, fingerprint)
if seen then
    return seen
end
now = clock()
local stopped = 0
local first = load(email .. ':0')
local mailboxes = first and first.o == owner and first.m or 0
for n = 0, mailboxes - 1 do
    local d = n == 0 and first or load(email .. ':' .. n)
    if d and not is_final(d) and d.s ~= 'x' then
        finish(d, 'C', 'canceled', nil, '')
        stopped = stopped + 1
    end
end
settle()
return idempotency_acted(owner, hash, fingerprint, stopped)
