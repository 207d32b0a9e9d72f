#!lua flags=no-writes
-- needs: prelude
-- endpoint_list OWNER ID
-- Answers {id, url, events, enabled, reason, created} of the owner's
-- endpoint ID, of all with ID "".
local owner, id = ARGV[1], ARGV[2]
local all = P .. 'r:webhook:' .. owner
local ids = {id}
local list = {}

local refusal = no_look(owner)
if refusal then
    return refusal
end

if id == '' then
    ids = call('SMEMBERS', all)
elseif call('SISMEMBER', all, id) == 0 then
    ids = {}
end
for i, endpoint in ipairs(ids) do
    list[i] = call('HMGET', P .. 'we:' .. endpoint, 'url', 'events', 'enabled',
        'reason', 'created')
    table.insert(list[i], 1, endpoint)
end
return list
