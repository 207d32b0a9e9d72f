-- The end of a function (scripts.h): private keys whose time is over go, of the
-- first owner who has some. Its argument: the time.
local AT_ONCE = 50

local now = ...
local owner = call('ZRANGE', P .. 'dxold', 0, 0)[1]
local key = P .. 'dx:' .. owner
for _, generation in ipairs(call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0,
    AT_ONCE)) do
    call('HDEL', P .. 'dk:' .. owner, generation)
    call('ZREM', key, generation)
end
domains_rank('x', owner)
