#!lua
-- needs: prelude
-- Claims the name of a domain. KEYS[1]: "domain:<name>". ARGV: 1 owner, 2
-- token of this claim, 3 the claim of another one that is taken over, since it
-- came to nothing ('': none).
-- Answers {'ok', the claim}, or {'taken', the other's claim, its age in ms}.
local owner, token, old = ARGV[1], ARGV[2], ARGV[3]
local now = clock()
local claim = call('GET', KEYS[1])
if claim and claim ~= old then
    local holder, ms = string.match(claim, '^(%S+) %S+ (%d+)$')
    if holder ~= owner then
        return { 'taken', claim, int(now - (tonumber(ms) or 0)) }
    end
end
claim = owner .. ' ' .. token .. ' ' .. int(now)
call('SET', KEYS[1], claim)
return { 'ok', claim }
