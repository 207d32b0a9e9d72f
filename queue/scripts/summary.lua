-- The summary of an email as it stands in its record (record.h), "" when that
-- is gone; whether the mail is a sensitive one; and how long the record is, if
-- it was read whole. Most summaries come with the first bytes; each byte
-- costs, since Lua hashes all strings.
local function summary_of(email)
    local key = P .. 'c:' .. email
    local head = call('GETRANGE', key, '0', '511')
    local size = #head < 512 and #head or nil
    local line, flag, len = string.match(head, '^(%d+ ([s-]) (%d+)\n)')
    if not line then
        return '', false, size
    end
    local total = #line + tonumber(len)
    if total > 512 then
        head = call('GETRANGE', key, 0, total - 1)
    end
    return string.sub(head, 1, total), flag == 's', size
end

-- As long as anything is known of the email; else "". A history is one line of
-- outcomes and the summary (deliveries.lua, close_email).
local function kept_summary(email)
    local summary = summary_of(email)
    if summary ~= '' then
        return summary
    end
    return string.match(call('GET', P .. 'h:' .. email) or '', '\n(.*)$') or ''
end
