#!lua flags=allow-oom
-- needs: prelude summary history deliveries
-- A child is gone: what it had claimed goes back at once. What it had marked
-- may have been sent, so it waits for the end of the lease. Webhook tasks
-- need no such care: the lease of a hooks child ends, and the next turn of
-- another one gives them back.
-- ARGV: 1 what its epochs begin with. Answers {'ok', given back, waiting}.
local child = ARGV[1]
local back, waiting = 0, 0
local let_free = {}
now = clock()

-- True: nothing that it holds waits.
local function release(epoch)
    local waits = false
    for _, id in ipairs(call('SMEMBERS', P .. 'own:' .. epoch)) do
        local d = load(id)
        if not d or holder(d) ~= epoch or (d.s ~= 'c' and d.s ~= 'x') then
            call('SREM', P .. 'own:' .. epoch, id)
        elseif d.s == 'c' then
            requeue(d, true)
            back = back + 1
        else
            waiting = waiting + 1
            waits = true
        end
    end
    return not waits
end

local function is_of_child(epoch)
    return string.sub(epoch, 1, #child) == child
end

for _, epoch in ipairs(call('ZRANGE', P .. 'workers', 0, -1)) do
    if is_of_child(epoch) and release(epoch) then
        let_free[#let_free + 1] = epoch
    end
end
settle()
for _, epoch in ipairs(let_free) do
    call('ZREM', P .. 'workers', epoch)
end
for _, epoch in ipairs(call('ZRANGE', P .. 'whooks', 0, -1)) do
    if is_of_child(epoch) then
        call('ZADD', P .. 'whooks', 0, epoch)
        wake_hooks()
    end
end
return { 'ok', back, waiting }
