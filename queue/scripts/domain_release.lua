#!lua flags=allow-oom
-- needs: prelude
-- Gives a claimed name back. KEYS[1]: "domain:<name>". ARGV: 1 the claim as it
-- was read; one that is another by now stays. Answers {1, or 0 if it stays}.
if call('GET', KEYS[1]) ~= ARGV[1] then
    return { 0 }
end
return { call('DEL', KEYS[1]) }
