#!lua flags=allow-oom
-- needs: prelude summary deliveries
-- A child is gone: what it had claimed goes back at once. What it had marked
-- may have been sent, so it waits for the end of the lease.
-- ARGV: 1 epoch. Answers {'ok', given back, waiting}.
local epoch = ARGV[1]
local back, waiting = 0, 0
now = clock()
for _, id in ipairs(call('SMEMBERS', P .. 'own:' .. epoch)) do
    local d = load(id)
    if not d or holder(d) ~= epoch or (d.s ~= 'c' and d.s ~= 'x') then
        call('SREM', P .. 'own:' .. epoch, id)
    elseif d.s == 'c' then
        requeue(d, true)
        back = back + 1
    else
        waiting = waiting + 1
    end
end
settle()
if waiting == 0 then
    call('ZREM', P .. 'workers', epoch)
end
return { 'ok', back, waiting }
