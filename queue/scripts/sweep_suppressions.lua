-- The end of a function (scripts.h): suppressions whose time is over end, and
-- are forgotten as much later again, of the first owner who has some. Its
-- argument: the time.
local AT_ONCE = 50

local function end_suppression(owner, hash)
    local s = suppression_read(call('HGET', P .. 'su:' .. owner, hash))
    local forgotten = s and 2 * s.till - s.created or 0
    if not s or s.till == '0' then
        call('ZREM', P .. 'sx:' .. owner, hash)
    elseif forgotten <= now then
        suppression_drop(owner, hash, s)
    else
        suppression_unlist(owner, hash, s)
        suppression_look_at(owner, int(forgotten), hash)
    end
end

now = ...
local owner = call('ZRANGE', P .. 'sold', 0, 0)[1]
local key = P .. 'sx:' .. owner
for _, hash in ipairs(call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0,
    AT_ONCE)) do
    end_suppression(owner, hash)
end
local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')
if first[1] then
    call('ZADD', P .. 'sold', first[2], owner)
else
    call('ZREM', P .. 'sold', owner)
end
