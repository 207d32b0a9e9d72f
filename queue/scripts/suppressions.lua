-- The suppressions of an owner: addresses that no mail of his goes to.
--
--   {N}:su:<owner>  hash  hash of the address (store.h) ->
--        "<id> <origin> <created> <until> <count> <source> <reason> <address>"
--        origin: b bounce, c complaint, m manual; until: ms, 0: for ever;
--        count: how often it bounced or complained; source: the email that
--        did, or -; reason: code/enhanced code, one of them, or -
--   {N}:slb:<owner> slc: slm:  zset, all scores 0: <id><hash> of those of that
--        origin that are in force
--   {N}:sx:<owner>  zset  hashes by the time when the sweep must look again:
--        the end, then the time until which it is remembered
--   {N}:sold  zset  owners by the first time in their sx
--   {N}:o:<owner>   sup: time of the last addition, while there are any
--
-- Here is what looks; suppression_change.lua is what changes.
local WHY = { b = ',"why":"previous_bounce"', c = ',"why":"previous_complaint"',
    m = '' }

local function suppression_read(text)
    if not text then
        return nil
    end
    local s = {}
    s.id, s.origin, s.created, s.till, s.count, s.source, s.reason, s.address =
        string.match(text, '^(%S+) (%a) (%d+) (%d+) (%d+) (%S+) (%S+) (.*)$')
    return s
end

local function is_in_force(s, at)
    return s.till == '0' or tonumber(s.till) > at
end

-- The fields of the event; nil: mail may go there. text: of su.
local function kept_off_by(text, at)
    local s = suppression_read(text)
    return s and is_in_force(s, at) and WHY[s.origin] or nil
end

-- The same of a delivery (deliveries.lua) that waited: what is asked is
-- whether its address came on the list since its mail was accepted. What is
-- sent again by hand has no ad: whoever asks for that means it.
local added_at = {} -- owner -> time of the last addition; false: has none
local function kept_off(d, at)
    local owner = d.o
    if added_at[owner] == nil then
        added_at[owner] = tonumber(call('HGET', P .. 'o:' .. owner, 'sup') or
            nil) or false
    end
    local added = added_at[owner]
    if not added or not d.ad or (not d.du and added < tonumber(d.f)) then
        return nil
    end
    return kept_off_by(call('HGET', P .. 'su:' .. owner, d.ad), at)
end
