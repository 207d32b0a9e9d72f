#!lua flags=allow-oom
-- needs: prelude
-- A worker says how an upstream does, and learns what it may and shall do.
-- KEYS[1]: "u:{upstream}:". ARGV: 1 the worker, "seat-name", 2 what it says,
-- 3 for how many ms that holds; 0: it ends, 4 sessions that all workers may
-- have, 5 how many it has, or may still open by what it was told last, 6 for
-- how many ms a seat is kept for who says nothing.
-- Answers {'ok', when an operator paused it, 0: he did not, sessions that it
-- may have, what would be its part, a test that waits, '1': somebody watches}.
--
-- Sessions belong to seats, which a worker takes over from the one that had
-- been in its place. What is written down of a seat never falls below what it
-- has, and none is given what is written down of the others: so the sum stays
-- below the limit, whoever comes and goes. Who has too many is told so, and
-- those that have too few get what he has given up when they ask next.
local now, me, max = clock(), ARGV[1], tonumber(ARGV[4])
local alive, said, shares = P .. 'alive', P .. 'said', P .. 'shares'
local ends = ARGV[3] == '0'

local function seat_of(worker)
    return string.match(worker, '^[^-]*')
end

local all = call('ZRANGE', alive, 0, 999, 'WITHSCORES')
local wishes = call('MGET', P .. 'pause', P .. 'test', P .. 'trace')
local held = call('HGETALL', shares)
local mine = seat_of(me)
local gone, seats, seated = {}, {}, {}
local function sit(seat)
    if not seated[seat] then
        seats[#seats + 1] = seat
    end
    seated[seat] = true
end
if ends then
    gone[1] = me
else
    sit(mine)
end
for i = 1, #all, 2 do
    local left = all[i + 1] - now
    if left <= 0 then
        gone[#gone + 1] = all[i]
    elseif all[i] ~= me and (ends or left > ARGV[3] - ARGV[6]) then
        sit(seat_of(all[i]))
    end
end

-- The same for all who look at the same seats; the first ones get what cannot
-- be divided.
local function part()
    table.sort(seats)
    local rank = 0
    while seats[rank + 1] ~= mine do
        rank = rank + 1
    end
    return math.floor(max / #seats) + (rank < max % #seats and 1 or 0)
end

local free, left_seats = max, {}
for i = 1, #held, 2 do
    if not seated[held[i]] then
        left_seats[#left_seats + 1] = held[i]
    elseif held[i] ~= mine then
        free = free - held[i + 1]
    end
end
local wanted = ends and 0 or part()
local share = math.max(0, math.min(wanted, free))

for _, worker in ipairs(gone) do
    call('ZREM', alive, worker)
    call('HDEL', said, worker)
end
for _, seat in ipairs(left_seats) do
    call('HDEL', shares, seat)
end
if not ends then
    call('ZADD', alive, now + ARGV[3], me)
    call('HSET', said, me, ARGV[2])
    call('HSET', shares, mine, math.max(share, tonumber(ARGV[5])))
end
return { 'ok', tonumber(wishes[1]) or 0, share, wanted, wishes[2] or '',
    wishes[3] or '' }
