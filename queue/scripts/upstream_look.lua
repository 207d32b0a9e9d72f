#!lua flags=no-writes
-- needs: prelude
-- How an upstream does. KEYS[1]: "u:{upstream}:". Answers {when an operator
-- paused it, 0: he did not; what each living worker says (upstream_tell.lua)}.
local paused = call('GET', P .. 'pause')
local workers = call('ZRANGEBYSCORE', P .. 'alive', clock(), '+inf', 'LIMIT',
    0, 1000)
local said = {}
if #workers > 0 then
    said = call('HMGET', P .. 'said', unpack(workers))
end
return { tonumber(paused) or 0, said }
