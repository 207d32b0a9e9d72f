#!lua flags=no-writes
-- needs: prelude
-- ARGV: 1 owner, then names. Answers {'none'} if the owner has no domain at
-- all, else {id, version and text} of those that are his, in that order.
local owner = ARGV[1]
local names = P .. 'dn:' .. owner
local list = {}

local refusal = no_look(owner)
if refusal then
    return refusal
end
if call('EXISTS', names) == 0 then
    return { 'none' }
end
for i = 2, #ARGV do
    local id = call('HGET', names, ARGV[i])
    local text = id and call('HGET', P .. 'do:' .. owner, id)
    if text then
        list[#list + 1] = { id, text }
    end
end
return list
