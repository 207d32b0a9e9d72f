#!lua
-- needs: prelude history idempotency suppressions suppression_change suppression_tell
-- Puts addresses on the list, and tells of those that were not. ARGV: 1 owner,
-- 2 hash of the idempotency key ('' none), 3 fingerprint, 4 '1': the answer is
-- a list, 5 origin, then for each: id if it is new, hash of the address,
-- address.
-- Answers {'ok', 201, answer, how many came on it}, {'full'} (none was added),
-- or as idempotency_look.
local owner, key_hash, fingerprint = ARGV[1], ARGV[2], ARGV[3]
local is_batch, origin = ARGV[4] == '1', ARGV[5]
local FIRST = 6

-- ---- read first -----------------------------------------------------------

now = clock()
local refusal = no_change(owner) or
    idempotency_look(owner, key_hash, fingerprint)
if refusal then
    return refusal
end
if call('HLEN', P .. 'su:' .. owner) + (#ARGV - FIRST + 1) / 3 >
    SUPPRESSIONS_MAX then
    return { 'full' }
end
local is_told = call('HGET', P .. 'o:' .. owner, 'ev')
local before = {}
for i = FIRST, #ARGV, 3 do
    before[ARGV[i + 1]] = suppression_before(owner, ARGV[i + 1])
end

-- ---- write after ----------------------------------------------------------

local items, done, news = {}, {}, 0

local function add(id, hash, address)
    local s = { id = id, address = address, origin = origin, source = '-',
        reason = '-' }
    local listed, is_new = suppression_add(owner, hash, before[hash], s)
    if is_new then
        suppression_tell(owner, 'added', s)
        news = news + 1
    end
    return listed
end

for i = FIRST, #ARGV, 3 do
    local hash = ARGV[i + 1]
    done[hash] = done[hash] or add(ARGV[i], hash, ARGV[i + 2])
    items[#items + 1] = '{"object":"suppression","id":"' .. done[hash] .. '"}'
end
local answer = is_batch and '{"data":[' .. table.concat(items, ',') .. ']}' or
    items[1]
if news > 0 then
    announce(owner, is_told)
    book()
end
idempotency_keep(owner, key_hash, fingerprint, '201', answer)
return { 'ok', 201, answer, news }
