#!lua flags=allow-oom
-- needs: prelude
-- Leases mails of an upstream's rate. KEYS[1]: "u:{upstream}:". ARGV: wanted
-- for lanes 0 and 1, wanted for the others, tokens that go back, their stamp;
-- then limit and window in ms of each rate. Windows follow Redis' clock, so
-- all workers share them. A fiftieth of each (one of a small one) is for lanes
-- 0 and 1 alone.
-- Answers {granted to lanes 0 and 1, to the others, for how many ms they last,
-- ms for which nothing more is to be had by lanes 0 and 1, by the others; 0:
-- there is; the stamp}.
local now, key = clock(), P .. 'rate'
local back, stamp = tonumber(ARGV[3]), tonumber(ARGV[4])
local windows, names = {}, {}
for i = 5, #ARGV, 2 do
    local limit, ms = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
    local number = math.floor(now / ms)
    windows[#windows + 1] = {
        number = number, used = 0, limit = limit,
        kept = limit > 1 and math.max(1, math.floor(limit / 50)) or 0,
        ends = (number + 1) * ms - now,
        takes_back = math.floor(stamp / ms) == number
    }
    names[#names + 1] = ARGV[i + 1]
end

local kept = call('HMGET', key, unpack(names))
local urgent, other = tonumber(ARGV[1]), tonumber(ARGV[2])
for i, window in ipairs(windows) do
    local of, used = string.match(kept[i] or '', '^(%d+) (%d+)$')
    if tonumber(of) == window.number then
        window.used = tonumber(used)
    end
    if window.takes_back then
        window.used = math.max(0, window.used - back)
    end
    urgent = math.min(urgent, window.limit - window.used)
end
urgent = math.max(0, urgent)
for _, window in ipairs(windows) do
    other = math.min(other, window.limit - window.kept - window.used - urgent)
end
other = math.max(0, other)

local lasts, no_urgent, no_other, longest = 1000, 0, 0, 0
local fields = {}
for i, window in ipairs(windows) do
    local used = window.used + urgent + other
    if used >= window.limit then
        no_urgent = math.max(no_urgent, window.ends)
    end
    if used >= window.limit - window.kept then
        no_other = math.max(no_other, window.ends)
    end
    lasts = math.min(lasts, window.ends)
    longest = math.max(longest, window.ends)
    fields[#fields + 1] = names[i]
    fields[#fields + 1] = string.format('%.0f %.0f', window.number, used)
end
call('HSET', key, unpack(fields))
call('PEXPIRE', key, int(longest))
return { urgent, other, lasts, no_urgent, no_other, now }
