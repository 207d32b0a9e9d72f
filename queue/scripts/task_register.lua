#!lua flags=allow-oom
-- needs: prelude tasks
-- task_register NEW OLD LEASE_MS (TASK TOKEN)...
-- First call of a hooks child after each connect: the tasks in its hand move
-- from its old epoch ("": none) to the new one, tokens stay valid; what else
-- the old one owned (claims whose answer was lost) is given back. That may be
-- a task of which it still has the claim before: its report has arrived.
local new, old, lease_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])

call('ZADD', P .. 'whooks', clock() + lease_ms, new)
if old ~= '' then
    for i = 4, #ARGV, 2 do
        local endpoint, id = string.match(ARGV[i], '^(%S+) (%S+)$')
        if call('HGET', task_key(endpoint, id), 'token') == ARGV[i + 1] then
            call('SMOVE', P .. 'wown:' .. old, P .. 'wown:' .. new, ARGV[i])
        end
    end
    -- A part that is too big for one call goes when the lease ends.
    call('ZADD', P .. 'whooks', 0, old)
    give_back(old)
end
return 'OK'
