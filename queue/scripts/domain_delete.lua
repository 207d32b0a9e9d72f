#!lua flags=allow-oom
-- needs: prelude history domains domain_change
-- Forgets a domain; the private halves of its keys stay a while, for mail that
-- waits. ARGV: 1 owner, 2 id, 3 name, 4 how long they stay (ms), then type and
-- members of the event, '', and the ids of its generations.
-- Answers {'ok'} or {'missing'}.
local owner, id, name = ARGV[1], ARGV[2], ARGV[3]
local refusal = no_change(owner)
if refusal then
    return refusal
end
if call('HDEL', P .. 'do:' .. owner, id) == 0 then
    return { 'missing' }
end
if call('HGET', P .. 'dn:' .. owner, name) == id then
    call('HDEL', P .. 'dn:' .. owner, name)
end
local now = clock()
domain_due(owner, id, '0', now)
for at = domain_tell(owner, id, '1', 5, now), #ARGV do
    domain_key_goes(owner, ARGV[at], int(now + ARGV[4]))
end
return { 'ok' }
