#!lua flags=allow-oom
-- needs: prelude tasks
-- endpoint_delete OWNER ID
-- Answers {"ok"}, {"missing"} or {"frozen"}. What is due or under way finds
-- no endpoint any more and ends.
local owner, id = ARGV[1], ARGV[2]

if call('HGET', P .. 'o:' .. owner, 'frozen') then
    return {'frozen'}
end
if call('SREM', P .. 'r:webhook:' .. owner, id) == 0 then
    return {'missing'}
end
waiting_drop(id)
call('UNLINK', endpoint_key(id), P .. 'wa:' .. id)
return {'ok'}
