#!lua flags=allow-oom
-- needs: prelude history idempotency suppressions suppression_change suppression_tell
-- Takes addresses off the list, and tells of each. ARGV: 1 owner, 2 hash of the
-- idempotency key ('' none), 3 fingerprint, 4 '1': the answer is a list of
-- those that were on it, then what: "i<id>" or "h<hash of the address>".
-- Answers {'ok', 200, answer}, {'missing'} (never of a list), or as
-- idempotency_look.
local owner, key_hash, fingerprint = ARGV[1], ARGV[2], ARGV[3]
local is_batch = ARGV[4] == '1'
local FIRST = 5

-- ---- read first -----------------------------------------------------------

now = clock()
local refusal = no_change(owner) or
    idempotency_look(owner, key_hash, fingerprint)
if refusal then
    return refusal
end
local is_told = call('HGET', P .. 'o:' .. owner, 'ev')
local found, items, seen = {}, {}, {}
for i = FIRST, #ARGV do
    local hash, s = suppression_find(owner, ARGV[i])
    if s and not seen[hash] then
        seen[hash] = true
        found[#found + 1] = { hash, s }
        items[#items + 1] = '{"object":"suppression","id":"' .. s.id ..
            '","deleted":true}'
    end
end
if not is_batch and #found == 0 then
    return { 'missing' }
end

-- ---- write after ----------------------------------------------------------

for _, one in ipairs(found) do
    suppression_drop(owner, one[1], one[2])
    suppression_tell(owner, 'removed', one[2])
end
if #found > 0 then
    announce(owner, is_told)
    book()
end
local answer = is_batch and '{"data":[' .. table.concat(items, ',') .. ']}' or
    items[1]
idempotency_keep(owner, key_hash, fingerprint, '200', answer)
return { 'ok', 200, answer }
