#!lua flags=allow-oom
-- needs: prelude
-- A move is over: counts the owner where he lives now, once. KEYS[1]: "meta".
-- ARGV: 1 owner, 2 and 3 the partitions that he left and lives in; alike: he
-- stayed. Answers {1, or 0 if it was over before}.
local is_new = call('HDEL', KEYS[1], 'move:' .. ARGV[1])
if is_new == 1 and ARGV[2] ~= ARGV[3] then
    call('HINCRBY', KEYS[1], 'owners:' .. ARGV[2], -1)
    call('HINCRBY', KEYS[1], 'owners:' .. ARGV[3], 1)
end
return { is_new }
