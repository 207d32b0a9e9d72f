#!lua flags=allow-oom
-- needs: prelude
-- The write-ahead mark: claimed -> dotted, for each that may still go; once
-- more for one whose dot did not leave in time. ARGV: 1 epoch, 2 lease in ms,
-- then id, token of each. Answers 1 or 0 for each.
--
-- A child whose lease ran out gets none: what it holds may be taken back at
-- any time. An answer is good for half a lease, so the lease lasts as long.
local epoch, lease = ARGV[1], tonumber(ARGV[2])
local answers = {}
local now = clock()
local expiry = tonumber(call('ZSCORE', P .. 'workers', epoch)) or 0
local has_lease = expiry > now
if has_lease and expiry < now + lease / 2 then
    call('ZADD', P .. 'workers', now + lease, epoch)
end
for i = 3, #ARGV, 2 do
    local key = P .. 'd:' .. ARGV[i]
    local d = has_lease and call('HMGET', key, 's', 't', 'i', 'x') or {}
    local ends = tonumber(d[4] or string.match(d[3] or '0', '^%d+'))
    local may_go = (d[1] == 'c' or d[1] == 'x') and d[2] == ARGV[i + 1] and
        (ends == 0 or ends > now)
    if may_go and d[1] == 'c' then
        call('HSET', key, 's', 'x')
    end
    answers[#answers + 1] = may_go and 1 or 0
end
return answers
