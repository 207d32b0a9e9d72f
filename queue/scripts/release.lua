#!lua flags=allow-oom
-- needs: prelude summary history deliveries master
-- A child is gone: what it had claimed goes back at once. What it had marked
-- may have been sent, so it waits for the end of the lease. Webhook tasks
-- need no such care: the lease of a hooks child ends, and the next turn of
-- another one gives them back.
--
-- The delivery that it had its hands on is suspect: from now on it is claimed
-- alone (alone.lua), and what kills its child there CRASHES_MAX times is dead.
-- ARGV: 1 what its epochs begin with, 2 that delivery, or an email ('' none),
-- 3 master.
-- Answers {'ok', given back, waiting, suspects, dead}.
local CRASHES_MAX = 5
local child, suspect = ARGV[1], ARGV[2]
local suspects, dead = {}, {}
local back, waiting = 0, 0
local let_free = {}
now = clock()
note_master(ARGV[3])

-- False: it is dead. What is unsure may have had a mark at the old master.
local function suspects_it(d, unsure)
    local crashes = tonumber(d.sc) or 0
    if d.al == d.t then
        crashes = crashes + 1
    end
    d.sc = int(crashes)
    if crashes < CRASHES_MAX then
        suspects[#suspects + 1] = d.id
        call('HSET', d.key, 'sc', d.sc)
        return true
    end
    dead[#dead + 1] = d.id
    if d.s == 'x' or unsure then
        d.dup = '1'
        call('HSET', d.key, 'dup', 1)
    end
    leave(d)
    call('HSET', d.key, 's', 'k', 'sc', d.sc, 'hs', int(now))
    call('ZADD', P .. 'dead', d.x > 0 and d.x or now + LIFE_MAX, d.id)
    return false
end

local function is_suspect(d)
    return suspect ~= '' and (d.id == suspect or d.email == suspect)
end

-- True: nothing that it holds waits.
local function release(epoch)
    local waits, unsure = false, is_unsure(epoch)
    for _, id in ipairs(newest_first(
        call('SMEMBERS', P .. 'own:' .. epoch))) do
        local d = load(id)
        if not d or holder(d) ~= epoch or (d.s ~= 'c' and d.s ~= 'x') then
            call('SREM', P .. 'own:' .. epoch, id)
        elseif is_suspect(d) and not suspects_it(d, unsure) then
            back = back + 1
        elseif d.s == 'c' and not unsure then
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
if is_of_child(call('GET', P .. 'alone') or '') then
    call('DEL', P .. 'alone')
end
settle()
for _, epoch in ipairs(let_free) do
    forget_worker(epoch)
end
for _, epoch in ipairs(call('ZRANGE', P .. 'whooks', 0, -1)) do
    if is_of_child(epoch) then
        call('ZADD', P .. 'whooks', 0, epoch)
        wake_hooks()
    end
end
return { 'ok', back, waiting, suspects, dead }
