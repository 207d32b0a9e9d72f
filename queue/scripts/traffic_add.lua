#!lua
-- needs: prelude traffic
-- What a child has counted since it told last. ARGV: owner, then accepted of
-- lanes 0 to 3 and delivered of lanes 0 to 3, of one owner after the other.
-- Answers {'ok'}.
local COUNTS = 8
local slot = traffic_slot(clock())
local key = traffic_key(slot)
local all = traffic_fields('')
local sums = { 0, 0, 0, 0, 0, 0, 0, 0 }

for at = 1, #ARGV, 1 + COUNTS do
    local fields = traffic_fields(ARGV[at])
    for i = 1, COUNTS do
        local count = tonumber(ARGV[at + i])
        sums[i] = sums[i] + count
        if count > 0 then
            call('HINCRBY', key, fields[i], count)
        end
    end
end
for i = 1, COUNTS do
    if sums[i] > 0 then
        call('HINCRBY', key, all[i], sums[i])
    end
end
call('PEXPIRE', key, (SLOTS + 2) * SLOT_MS)
return { 'ok' }
