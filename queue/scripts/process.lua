#!lua flags=allow-oom
-- needs: prelude
-- A process lives, and says what it can read. ARGV: 1 what it says, 2 for how
-- many ms that holds; 0: it ends.
local now, key = clock(), P .. 'alive'
call('ZREMRANGEBYSCORE', key, '-inf', now)
if ARGV[2] == '0' then
    call('ZREM', key, ARGV[1])
else
    call('ZADD', key, now + ARGV[2], ARGV[1])
end
return { 'ok' }
