-- Changes of what suppressions.lua describes.
--
-- What has ended is remembered for as long again, so that an address that
-- bounces anew is kept off longer.
local SUPPRESSIONS_MAX = 200000 -- of one owner, what is remembered with it
local SPANS = { 2592000000, 7776000000, 31104000000 } -- 30, 90, 360 days
local ORIGINS = { 'b', 'c', 'm' }
local RANK = { b = 1, c = 2, m = 3 }

-- Set by each script before it changes anything.
local now

local function suppression_look_at(owner, time, hash)
    call('ZADD', P .. 'sx:' .. owner, time, hash)
    call('ZADD', P .. 'sold', 'LT', time, owner)
end

local function suppression_unlist(owner, hash, s)
    call('ZREM', P .. 'sl' .. s.origin .. ':' .. owner, s.id .. hash)
end

local function suppression_write(owner, hash, s)
    call('HSET', P .. 'su:' .. owner, hash, s.id .. ' ' .. s.origin .. ' ' ..
        s.created .. ' ' .. s.till .. ' ' .. s.count .. ' ' .. s.source ..
        ' ' .. s.reason .. ' ' .. s.address)
    call('ZADD', P .. 'sl' .. s.origin .. ':' .. owner, 0, s.id .. hash)
    if s.till == '0' then
        call('ZREM', P .. 'sx:' .. owner, hash)
    else
        suppression_look_at(owner, s.till, hash)
    end
    call('HSET', P .. 'o:' .. owner, 'sup', int(now))
end

-- What there is of the address now. nil: nothing, and no room for it.
local function suppression_before(owner, hash)
    local key = P .. 'su:' .. owner
    local old = suppression_read(call('HGET', key, hash))
    if not old and call('HLEN', key) >= SUPPRESSIONS_MAX then
        return nil
    end
    return old or { count = '0', till = '1' }
end

-- old: as it was before; s: id, address, origin, source, reason. Returns the
-- id that it has, and whether it came on the list by this. What is in force
-- keeps its id, and is changed only by a weightier origin; what is made by hand
-- does not end.
local function suppression_add(owner, hash, old, s)
    local is_kept = is_in_force(old, now)
    if is_kept and RANK[s.origin] <= RANK[old.origin] then
        return old.id, false
    end
    local is_manual = s.origin == 'm'
    local count = old.count + (is_manual and 0 or 1)
    s.created, s.count = int(now), int(count)
    s.till = is_manual and '0' or int(now + SPANS[math.min(count, #SPANS)])
    if old.id then
        suppression_unlist(owner, hash, old)
    end
    if is_kept then
        s.id, s.created = old.id, old.created
        s.source = s.source == '-' and old.source or s.source
        s.reason = s.reason == '-' and old.reason or s.reason
    end
    suppression_write(owner, hash, s)
    return s.id, not is_kept
end

local function suppression_drop(owner, hash, s)
    suppression_unlist(owner, hash, s)
    call('ZREM', P .. 'sx:' .. owner, hash)
    call('HDEL', P .. 'su:' .. owner, hash)
    if call('EXISTS', P .. 'su:' .. owner) == 0 then
        call('HDEL', P .. 'o:' .. owner, 'sup')
    end
end

-- what: "i<id>" or "h<hash>". Returns hash and suppression, if it is in force.
local function suppression_find(owner, what)
    local hash = string.sub(what, 2)
    if string.sub(what, 1, 1) == 'i' then
        local id = hash
        hash = nil
        for _, origin in ipairs(ORIGINS) do
            local member = call('ZRANGEBYLEX', P .. 'sl' .. origin .. ':' ..
                owner, '[' .. id, '(' .. id .. '\255', 'LIMIT', 0, 1)[1]
            hash = member and string.sub(member, #id + 1) or hash
        end
    end
    local s = hash and suppression_read(call('HGET', P .. 'su:' .. owner, hash))
    if s and is_in_force(s, now) then
        return hash, s
    end
end
