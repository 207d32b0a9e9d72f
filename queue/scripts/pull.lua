#!lua flags=no-writes
-- needs: prelude summary streams
-- The owner's events behind a place in the stream. ARGV: 1 owner, 2 the id of
-- the last event that the caller has ('': from the oldest on), 3 how many.
-- Answers {'cut', last id that is gone} when some behind that place are gone,
-- else {'ok', id to go on from, 1 if there are more, then record, summary of
-- each}; the summary once per email, '' when it is gone.
local REPLY_MAX = 512 * 1024

local owner, after, count = ARGV[1], ARGV[2], tonumber(ARGV[3])
local refusal = no_look(owner)
if refusal then
    return refusal
end
local cut = call('HGET', P .. 'o:' .. owner, 'cut') or '0-0'
if after ~= '' and is_behind(cut, after) then
    return { 'cut', cut }
elseif after == '' then
    after = cut
end

local entries = call('XRANGE', P .. 'ev:' .. owner, '(' .. after, '+', 'COUNT',
    count + 1)
local answer = { 'ok', after, #entries > count and 1 or 0 }
local has_summary, bytes = {}, 0
for i = 1, math.min(#entries, count) do
    local record = entries[i][2][2]
    local email = email_of(record)
    local summary = ''
    if email and not has_summary[email] then
        has_summary[email] = true
        summary = kept_summary(email)
    end
    bytes = bytes + #record + #summary
    if bytes > REPLY_MAX and i > 1 then
        answer[3] = 1
        break
    end
    answer[2] = entries[i][1]
    table.insert(answer, record)
    table.insert(answer, summary)
end
return answer
