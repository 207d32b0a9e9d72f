#!lua flags=allow-oom
-- needs: prelude
-- A worker says how an upstream does. KEYS[1]: "u:{upstream}:". ARGV: 1 the
-- worker, 2 what it says, 3 for how many ms that holds; 0: it ends.
-- Answers {'ok', when an operator paused it, 0: he did not}.
local now, alive, said = clock(), P .. 'alive', P .. 'said'
local gone = call('ZRANGEBYSCORE', alive, '-inf', now, 'LIMIT', 0, 1000)
local paused = call('GET', P .. 'pause')
if ARGV[3] == '0' then
    gone[#gone + 1] = ARGV[1]
else
    call('ZADD', alive, now + ARGV[3], ARGV[1])
    call('HSET', said, ARGV[1], ARGV[2])
end
for _, worker in ipairs(gone) do
    if worker ~= ARGV[1] or ARGV[3] == '0' then
        call('ZREM', alive, worker)
        call('HDEL', said, worker)
    end
end
return { 'ok', tonumber(paused) or 0 }
