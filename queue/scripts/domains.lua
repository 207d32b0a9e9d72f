-- The domains of an owner (domains.h).
--
--   {N}:do:<owner>  hash  id -> "<version> <text>" (domain_record.c)
--   {N}:dn:<owner>  hash  name -> id
--   {N}:dk:<owner>  hash  id of a generation -> "<domain> <rsa selector>
--        <ed25519 selector> <rsa> <ed25519>": its private halves, sealed
--   {N}:dx:<owner>  zset  generations by the time when their private halves go
--   {N}:dd:<owner>  zset  ids by the time of their next check
--   {N}:dxold  {N}:ddue  zset  owners by the first time in their dx, dd
--   domain:<name>   string  "<owner> <token> <ms>": who claimed it, in no
--        partition (domain_claim.lua)

-- Of an owner among all of the partition. kind: x or d.
local ALL = { x = 'dxold', d = 'ddue' }

local function domains_rank(kind, owner)
    local first = call('ZRANGE', P .. 'd' .. kind .. ':' .. owner, 0, 0,
        'WITHSCORES')
    if first[1] then
        call('ZADD', P .. ALL[kind], first[2], owner)
    else
        call('ZREM', P .. ALL[kind], owner)
    end
end

-- at '0': never. Hooks children check (wake_hooks).
local function domain_due(owner, id, at, now)
    local key = P .. 'dd:' .. owner
    if at == '0' then
        call('ZREM', key, id)
    else
        call('ZADD', key, at, id)
    end
    domains_rank('d', owner)
    if at ~= '0' and tonumber(at) <= now then
        wake_hooks()
    end
end

local function domain_version(text)
    return text and string.match(text, '^(%d+) ')
end
