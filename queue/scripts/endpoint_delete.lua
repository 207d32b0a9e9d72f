#!lua flags=allow-oom
-- needs: prelude tasks
-- endpoint_delete OWNER ID
-- Answers {"ok"} or {"missing"}. What is due or under way finds
-- no endpoint any more and ends.
local owner, id = ARGV[1], ARGV[2]

local refusal = no_change(owner)
if refusal then
    return refusal
end
if call('SREM', P .. 'r:webhook:' .. owner, id) == 0 then
    return {'missing'}
end
waiting_drop(id)
call('UNLINK', endpoint_key(id), P .. 'wa:' .. id)
return {'ok'}
