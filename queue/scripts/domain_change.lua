-- What changes of domains (domains.lua) share: events, and when private keys
-- are swept.

-- ordinal: the version that it tells of. from: place in ARGV of pairs "type,
-- members of data"; '' ends them. Returns the place behind.
local function domain_tell(owner, id, ordinal, from, at)
    local is_told = call('HGET', P .. 'o:' .. owner, 'ev')
    while ARGV[from] and ARGV[from] ~= '' do
        local members = ARGV[from + 1]
        local record = owner_event(owner, ARGV[from], id, ordinal, at,
            ',"dom":{' .. members .. '}')
        charged = charged + #record + EVENT_BYTES
        from = from + 2
    end
    if charged ~= 0 then
        announce(owner, is_told)
        book()
    end
    return from + 1
end

-- Private halves of a generation go then; sooner never becomes later. at '0':
-- they stay after all.
local function domain_key_goes(owner, key, at)
    if at == '0' then
        call('ZREM', P .. 'dx:' .. owner, key)
    else
        call('ZADD', P .. 'dx:' .. owner, 'LT', at, key)
    end
    domains_rank('x', owner)
end
