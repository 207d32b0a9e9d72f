#!lua flags=allow-oom
-- needs: prelude
-- The write-ahead mark: claimed -> dotted, for each that may still go.
-- ARGV: 1 epoch, then id, token of each. Answers 1 or 0 for each.
local answers = {}
local now = clock()
local is_registered = call('ZSCORE', P .. 'workers', ARGV[1])
for i = 2, #ARGV, 2 do
    local key = P .. 'd:' .. ARGV[i]
    local d = is_registered and call('HMGET', key, 's', 't', 'x') or {}
    local ends = tonumber(d[3]) or 0
    local may_go = d[1] == 'c' and d[2] == ARGV[i + 1] and
        (ends == 0 or ends > now)
    if may_go then
        call('HSET', key, 's', 'x')
    end
    answers[#answers + 1] = may_go and 1 or 0
end
return answers
