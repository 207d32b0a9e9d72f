#!lua flags=allow-oom
-- needs: prelude
-- Changes what an operator says of an owner. ARGV: 1 owner, 2 field of
-- o:<owner>, 3 its value (below 0: it goes). Answers {'ok'}. One who is being
-- moved stays as he is until he has arrived.
local owner, field, value = ARGV[1], ARGV[2], ARGV[3]
local key = P .. 'o:' .. owner
local frozen = call('HGET', key, 'frozen')
if frozen and frozen ~= '1' then
    return frozen_error(frozen)
elseif tonumber(value) >= 0 then
    call('HSET', key, field, value)
else
    call('HDEL', key, field)
end
return { 'ok' }
