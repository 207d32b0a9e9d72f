#!lua flags=allow-oom
-- needs: prelude deliveries
-- The write-ahead mark: claimed -> dotted, for each that may still go.
-- ARGV: 1 epoch, then id, token of each. Answers 1 or 0 for each.
local answers = {}
now = clock()
local is_registered = call('ZSCORE', P .. 'workers', ARGV[1])
for i = 2, #ARGV, 2 do
    local d = is_registered and load(ARGV[i])
    local may_go = d and d.s == 'c' and d.t == ARGV[i + 1] and
        (d.x == 0 or d.x > now)
    if may_go then
        call('HSET', d.key, 's', 'x')
    end
    table.insert(answers, may_go and 1 or 0)
end
return answers
