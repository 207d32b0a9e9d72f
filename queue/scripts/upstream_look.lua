#!lua flags=no-writes
-- needs: prelude
-- How an upstream does. KEYS[1]: "u:{upstream}:". Answers {when an operator
-- paused it, 0: he did not; what each living worker says (upstream_tell.lua);
-- {window in ms, how much of it is used, ...} of its rates (quota.lua)}.
local paused = call('GET', P .. 'pause')
local workers = call('ZRANGEBYSCORE', P .. 'alive', clock(), '+inf', 'LIMIT',
    0, 1000)
local said = {}
if #workers > 0 then
    said = call('HMGET', P .. 'said', unpack(workers))
end
local now, rates, windows = clock(), call('HGETALL', P .. 'rate'), {}
for i = 1, #rates, 2 do
    local of, used = string.match(rates[i + 1], '^(%d+) (%d+)$')
    if tonumber(of) == math.floor(now / rates[i]) then
        windows[#windows + 1] = tonumber(rates[i])
        windows[#windows + 1] = tonumber(used)
    end
end
return { tonumber(paused) or 0, said, windows }
