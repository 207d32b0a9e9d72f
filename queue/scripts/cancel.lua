#!lua flags=allow-oom
-- needs: prelude summary history deliveries
-- Withdraws what of an email was not marked yet. ARGV: 1 owner, 2 email,
-- 3 keep_bodies (ms).
-- Answers how many deliveries it stopped; 0 as well for another's email.
local owner, email = ARGV[1], ARGV[2]
keep_bodies = tonumber(ARGV[3])
local refusal = no_change(owner)
if refusal then
    return refusal
end
now = clock()
local first = load(email .. ':0')
if not first or first.o ~= owner then
    return 0
end
local stopped = 0
for n = 0, first.m - 1 do
    local d = n == 0 and first or load(email .. ':' .. n)
    if d and not is_final(d) and d.s ~= 'x' then
        finish(d, 'C', 'canceled', nil, '')
        stopped = stopped + 1
    end
end
settle()
return stopped
