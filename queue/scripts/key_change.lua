#!lua flags=allow-oom
-- needs: prelude
-- Changes a field of an API key. KEYS[1]: its record ("k:<sha256>"). ARGV: 1
-- field, 2 value. Answers {1, or 0 if the key is gone}.
if call('EXISTS', KEYS[1]) == 0 then
    return { 0 }
end
call('HSET', KEYS[1], ARGV[1], ARGV[2])
return { 1 }
