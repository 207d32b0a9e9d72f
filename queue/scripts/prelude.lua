-- Shared by the scripts. KEYS[1] is the prefix of the partition, "ph:{N}:";
-- all keys are made from it, so they have one hash slot (keys.h lists them).
local call = redis.call
local P = KEYS[1]

-- Redis' time in ms: the one clock of all that is stored.
local function clock()
    local t = call('TIME')
    local ms = t[1] * 1000 + math.floor(t[2] / 1000)
    if FAULT_POINTS then
        local meta = string.gsub(P, '{%d+}:$', 'meta')
        -- A cluster has it elsewhere.
        local offset = redis.pcall('HGET', meta, 'test_offset_ms')
        ms = ms + (type(offset) == 'string' and tonumber(offset) or 0)
    end
    return ms
end

-- What o:<owner> frozen forbids; nil: go on. An owner who is being moved does
-- not change, one who was moved has nothing here any more.
local function frozen_error(frozen)
    if frozen == 'moved' then
        return redis.error_reply('ELSEWHERE the owner has moved')
    elseif frozen then
        return redis.error_reply('FROZEN the owner is being moved')
    end
end

local function no_change(owner)
    return frozen_error(call('HGET', P .. 'o:' .. owner, 'frozen'))
end

local function no_look(owner)
    local frozen = call('HGET', P .. 'o:' .. owner, 'frozen')
    return frozen == 'moved' and frozen_error(frozen) or nil
end

-- On his way to another partition: nothing of his is handed out, swept or
-- projected. Who is arriving is no more than frozen.
local function is_leaving(owner)
    local frozen = call('HGET', P .. 'o:' .. owner, 'frozen')
    return frozen == 'leaving' or frozen == 'moved'
end

-- A token for one child that waits for work of that lane and route. There is
-- at most one, so that a burst wakes one child.
local function wake(lane, route)
    local key = P .. 'wake:' .. lane .. ':' .. route
    if call('RPUSH', key, 1) > 1 then
        call('LPOP', key)
    end
end

-- Puts a delivery into its flow; at the front when it was there before. A
-- flow that held something needs no token: whoever left work there pushed
-- one, or has no room and asks by himself.
local function flow_push(lane, owner, route, id, front)
    local flow = P .. 'q:' .. lane .. ':' .. owner .. ':' .. route
    if call(front and 'LPUSH' or 'RPUSH', flow, id) > 1 then
        return
    end
    if call('RPUSH', P .. 'ring:' .. lane .. ':' .. route, owner) == 1 then
        call('SADD', P .. 'routes', route)
    end
    wake(lane, route)
end

-- A whole number as text. Left to itself Lua writes it as a float, which
-- costs as much as a command. Text that is made of pieces is joined by ".."
-- in one expression, at half of what string.format takes.
local function int(number)
    return string.format('%d', number)
end

-- Events as events.h reads them. fields: what stands behind the time, as
-- ',"a":1'; number -1: the whole email. All are text. Returns the record.
local function event(owner, kind, email, number, generation, ordinal,
                     sequence, at, fields)
    local record = '{"t":"email.' .. kind .. '","e":"' .. email .. '","n":' ..
        number .. ',"g":' .. generation .. ',"o":' .. ordinal .. ',"s":' ..
        sequence .. ',"at":' .. at .. fields .. '}'
    call('XADD', P .. 'ev:' .. owner, '*', 'e', record)
    return record
end

-- The same of what is no email; the id is that of the endpoint, or of what
-- the fields tell.
local function owner_event(owner, kind, id, ordinal, at, fields)
    local record = '{"t":"' .. kind .. '","e":"' .. id ..
        '","n":-1,"g":1,"o":' .. ordinal .. ',"s":0,"at":' .. int(at) ..
        fields .. '}'
    call('XADD', P .. 'ev:' .. owner, '*', 'e', record)
    return record
end

-- A token for a hooks child, as wake's: there are events or webhook tasks.
local function wake_hooks()
    if call('RPUSH', P .. 'hwake', 1) > 1 then
        call('LPOP', P .. 'hwake')
    end
end

-- Tells the hooks that the owner has new events; is_told: o:<owner> ev.
local function announce(owner, is_told)
    if is_told then
        return
    end
    call('HSET', P .. 'o:' .. owner, 'ev', 1)
    if call('RPUSH', P .. 'evring', owner) == 1 then
        wake_hooks()
    end
end
