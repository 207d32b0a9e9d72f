#!lua flags=no-writes
-- needs: prelude
-- What a mail is signed with. ARGV: 1 owner, 2 name of a domain, 3 id of a
-- generation.
-- Answers {private halves of that one, id of the domain that has the name now,
-- its version and text}; '' for what is not there.
local owner = ARGV[1]

local refusal = no_look(owner)
if refusal then
    return refusal
end
local id = call('HGET', P .. 'dn:' .. owner, ARGV[2])
return {
    call('HGET', P .. 'dk:' .. owner, ARGV[3]) or '',
    id or '',
    id and call('HGET', P .. 'do:' .. owner, id) or '',
}
