#!lua
-- needs: prelude
-- Leases request tokens of one API key. KEYS[1]: the key's own ("l:<id>"),
-- a text "window used". ARGV: tokens wanted, tokens a window, window in ms.
-- Windows follow Redis' clock, so all children share them.
-- Answers {granted, left behind that, ms until the window ends}.
local wanted, limit, window_ms = tonumber(ARGV[1]), tonumber(ARGV[2]),
    tonumber(ARGV[3])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local window = math.floor(now / window_ms)
local left_ms = (window + 1) * window_ms - now
local used = 0
local kept = redis.call('GET', KEYS[1])
if kept then
    local of, count = string.match(kept, '^(%d+) (%d+)$')
    if tonumber(of) == window then
        used = tonumber(count)
    end
end
local granted = math.max(0, math.min(wanted, limit - used))
if granted > 0 then
    redis.call('SET', KEYS[1], string.format('%.0f %d', window, used + granted),
        'PX', left_ms)
end
return {granted, limit - used - granted, left_ms}
