#!lua flags=allow-oom
-- needs: prelude
-- project OWNER COUNT KEEP_MS
-- Appends up to COUNT new events of the owner to the timelines of their
-- emails, which live for KEEP_MS from then on, and takes the owner off evring
-- when fan-out and projection have seen all.
-- Answers 1 when there is more, else 0.
local owner, count, keep_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local events = P .. 'ev:' .. owner
local cursor = call('GET', P .. 'prj:' .. owner) or '0-0'
local entries = call('XRANGE', events, '(' .. cursor, '+', 'COUNT', count)
local touched = {}

for _, entry in ipairs(entries) do
    local email = string.match(entry[2][2], '^{"t":"email%.[%w_]+","e":"([%x-]+)"')
    cursor = entry[1]
    if email then
        call('RPUSH', P .. 't:' .. email, entry[2][2])
        touched[email] = true
    end
end
for email in pairs(touched) do
    call('PEXPIRE', P .. 't:' .. email, keep_ms)
end
if #entries > 0 then
    call('SET', P .. 'prj:' .. owner, cursor)
end
if #entries == count then
    return 1
end
local fanned = call('GET', P .. 'fan:' .. owner) or '0-0'
if #call('XRANGE', events, '(' .. fanned, '+', 'COUNT', 1) == 0 then
    call('LREM', P .. 'evring', 0, owner)
    call('HDEL', P .. 'o:' .. owner, 'ev')
end
return 0
