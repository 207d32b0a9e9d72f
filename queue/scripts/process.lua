#!lua flags=allow-oom
-- needs: prelude
-- A process lives, and says what it can read. ARGV: 1 what it says, 2 for how
-- many ms that holds; 0: it ends. Answers {'ok', living workers}.
local now, key = clock(), P .. 'alive'
call('ZREMRANGEBYSCORE', key, '-inf', now)
if ARGV[2] == '0' then
    call('ZREM', key, ARGV[1])
else
    call('ZADD', key, now + ARGV[2], ARGV[1])
end
local workers = 0
for _, words in ipairs(call('ZRANGE', key, 0, 9999)) do
    if string.find(words, '"role":"worker"', 1, true) then
        workers = workers + 1
    end
end
return { 'ok', workers }
