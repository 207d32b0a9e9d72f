#!lua
-- needs: prelude tasks
-- endpoint_change OWNER ID FIELD VALUE...
-- Answers {"ok"} or {"missing"}. Disabling drops what waits, enabling forgets
-- why it was disabled and how it did, another url how the old one did.
local owner, id = ARGV[1], ARGV[2]
local key = endpoint_key(id)

local refusal = no_change(owner)
if refusal then
    return refusal
end
if call('SISMEMBER', P .. 'r:webhook:' .. owner, id) == 0 then
    return {'missing'}
end
local old = call('HMGET', key, 'url', 'enabled')
if #ARGV > 2 then
    call('HSET', key, unpack(ARGV, 3))
end
if call('HGET', key, 'url') ~= old[1] then
    call('HDEL', key, 'failing', 'paused')
    call('ZREM', P .. 'wdue', id .. ' -')
    offer(id)
    wake_for_tasks()
end
if call('HGET', key, 'enabled') ~= '1' then
    waiting_drop(id)
elseif old[2] ~= '1' then
    call('HDEL', key, 'reason', 'failing')
end
return {'ok'}
