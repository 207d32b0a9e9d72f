-- The summary of an email as it stands in its record (record.h), "" when that
-- is gone; and whether the mail is a sensitive one. Most summaries come with
-- the first 1024 bytes.
local function summary_of(email)
    local key = P .. 'c:' .. email
    local head = call('GETRANGE', key, '0', '1023')
    local line, flag, len = string.match(head, '^(%d+ ([s-]) (%d+)\n)')
    if not line then
        return '', false
    end
    local total = #line + tonumber(len)
    if total > 1024 then
        head = call('GETRANGE', key, 0, total - 1)
    end
    return string.sub(head, 1, total), flag == 's'
end
