#!lua
-- needs: prelude history baggage
-- Writes at an owner's new home what move_read.lua read at the old one; what
-- comes twice changes nothing. Nobody there looks at it yet. ARGV: 1 owner,
-- then as it answers them: name, kind, time to live, before, count, values.
-- Answers {how many keys}.
local owner = ARGV[1]
local me = P .. 'o:' .. owner
local keys = 0

-- In portions: a call takes some thousands of arguments.
local function each_portion(first, count, write)
    for from = first, first + count - 1, 500 do
        write(unpack(ARGV, from, math.min(first + count, from + 500) - 1))
    end
end

local write = {}

function write.s(key, before, first)
    call('SET', key, ARGV[first])
end

function write.h(key, before, first, count)
    if before == 0 then
        call('DEL', key)
    end
    each_portion(first, count, function(...)
        call('HSET', key, ...)
    end)
end

function write.S(key, before, first, count)
    each_portion(first, count, function(...)
        call('SADD', key, ...)
    end)
end

-- Of lists: a timeline and attempts are charged.
local function charge_list(key, sign)
    local kind = string.sub(key, #P + 1, #P + 2)
    if kind == 't:' then
        charged = charged + sign * list_bytes(call('LRANGE', key, 0, -1))
    elseif kind == 'a:' then
        charge_attempts(sign * list_bytes(call('LRANGE', key, 0, -1)))
    end
end

-- Both come whole unless they are very long.
function write.l(key, before, first, count)
    charge_list(key, -1)
    if before == 0 then
        call('DEL', key)
    else
        call('LTRIM', key, 0, before - 1)
    end
    each_portion(first, count, function(...)
        call('RPUSH', key, ...)
    end)
    charge_list(key, 1)
end

function write.z(key, before, first, count)
    local is_index = string.sub(key, #P + 1, #P + 2) == 'x:'
    for at = first, first + count - 1, 2 do
        local added = call('ZADD', key, ARGV[at + 1], ARGV[at])
        charged = charged + (is_index and added * INDEX_BYTES or 0)
    end
end

local function is_there(key, id)
    return #call('XRANGE', key, id, '+', 'COUNT', 1) > 0
end

function write.x(key, before, first, count)
    local is_events = string.sub(key, #P + 1, #P + 3) == 'ev:'
    local at = first
    while at < first + count do
        local texts = tonumber(ARGV[at + 1])
        if not is_there(key, ARGV[at]) then
            call('XADD', key, ARGV[at], unpack(ARGV, at + 2, at + 1 + texts))
            charged = charged + (is_events and event_bytes(ARGV[at + 3]) or 0)
        end
        at = at + 2 + texts
    end
end

function write.X(key, before, first)
    if call('EXISTS', key) == 0 then
        call('XADD', key, ARGV[first], 'e', '')
        call('XTRIM', key, 'MAXLEN', 0)
    end
end

-- Whoever has an old view of this home is sent on as long as that is none.
if call('HGET', me, 'frozen') ~= 'moved' then
    call('HSET', me, 'frozen', 'moved')
end
local at = 2
while at <= #ARGV do
    local name, kind, ttl = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
    local count = tonumber(ARGV[at + 4])
    local key = P .. (name == 'o:' .. owner and 'm' or '') .. name
    write[kind](key, tonumber(ARGV[at + 3]), at + 5, count)
    if ttl >= 0 then
        call('PEXPIRE', key, int(math.max(1, ttl)))
    end
    keys = keys + (ARGV[at + 3] == '0' and 1 or 0)
    at = at + 5 + count
end
book()
return { keys }
