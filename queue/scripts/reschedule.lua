#!lua flags=allow-oom
-- needs: prelude history deliveries
-- Gives a mail that nobody has tried yet another time: all of its deliveries
-- or none, since they share the record that says when.
-- ARGV: 1 owner, 2 email, 3 due (ms; not ahead: at once), 4 end of its life
-- then, 5 record.
-- The caller has seen whose email it is. Answers how many deliveries it moved;
-- 0: something of it was tried, is queued, or has ended.
local owner, email = ARGV[1], ARGV[2]
local due, ends = tonumber(ARGV[3]), ARGV[4]

-- Nothing of it ever left, and nothing will before it is due.
local function is_untouched(d)
    return d.s == 'u' and d.a == 0 and d.g == '1' and not d.dup
end

-- Read first.
now = clock()
local refusal = no_change(owner)
if refusal then
    return refusal
end
local first = load(email .. ':0')
if not first then
    return 0
end
local waiting = {}
for n = 0, first.m - 1 do
    local d = n == 0 and first or load(email .. ':' .. n)
    if d and is_untouched(d) then
        table.insert(waiting, d)
    elseif d and d.s ~= 'P' then
        return 0
    end
end

-- Write after.
local is_ahead = due > now
due = int(math.max(due, now))
for _, d in ipairs(waiting) do
    call('HSET', d.key, 'f', due, 'x', ends)
    if d.dl then
        call('ZADD', P .. 'exp', ends, d.id)
    end
    if is_ahead then
        postpone(d, due)
    else
        requeue(d, false)
    end
end
local key = P .. 'due:' .. first.l
if is_ahead and call('ZSCORE', key, call('ZRANGE', key, 0, 0)[1]) == due then
    wake(first.l, first.r) -- the earliest: whoever waits must know
end
if #waiting > 0 then
    call('SET', P .. 'c:' .. email, ARGV[5])
end
return #waiting
