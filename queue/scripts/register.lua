#!lua flags=allow-oom
-- needs: prelude summary history deliveries master
-- A child begins anew, after each connect or lost answer. What it has in
-- hand goes over to the new epoch, tokens stay valid; the rest of the old
-- epoch, claims whose answer was lost, is given back.
-- ARGV: 1 new epoch, 2 old epoch ('' none), 3 lease in ms, 4 keep_bodies (ms),
-- 5 master, then id, token of each in hand. Answers {'ok', event counts}.
local new, old = ARGV[1], ARGV[2]
keep_bodies = tonumber(ARGV[4])
now = clock()
note_master(ARGV[5])
call('ZADD', P .. 'workers', now + ARGV[3], new)
for i = 6, #ARGV, 2 do
    local d = load(ARGV[i])
    if d and (d.s == 'c' or d.s == 'x') and d.t == ARGV[i + 1] then
        call('SREM', P .. 'own:' .. holder(d), d.id)
        call('HSET', d.key, 'w', new)
        call('SADD', P .. 'own:' .. new, d.id)
    end
end
if old ~= '' then
    for _, id in ipairs(newest_first(call('SMEMBERS', P .. 'own:' .. old))) do
        local d = load(id)
        if d and holder(d) == old then
            if d.s == 'c' then
                requeue(d, true)
            elseif d.s == 'x' then
                unknown(d, 0, '', '')
            end
        end
    end
    call('DEL', P .. 'own:' .. old)
    forget_worker(old)
end
return { 'ok', settle() }
