#!lua flags=allow-oom
-- needs: prelude
-- An API key's owner has moved. KEYS[1]: its record ("k:<sha256>"). ARGV: 1
-- partition. Answers {1, or 0 if the key is gone}.
if call('EXISTS', KEYS[1]) == 0 then
    return { 0 }
end
call('HSET', KEYS[1], 'partition', ARGV[1])
return { 1 }
