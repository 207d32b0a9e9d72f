-- Webhook tasks: an event on its way to an endpoint. A task is named by its
-- endpoint and the event's id in the owner's stream, "<endpoint> <event>".
--
--     {N}:r:webhook:<owner>  set    endpoints
--     {N}:we:<endpoint>      hash   owner, url, events (names joined by
--                                   blanks; empty: Resend's), enabled, reason,
--                                   secret (sealed), created; flying (tasks
--                                   under way), ring (is in wring), paused
--                                   (wdue has "<endpoint> -"), behind
--                                   (cursor, when w is full), failing (since
--                                   when), disabled (how often)
--     {N}:w:<endpoint>       list   events that wait, next first
--     {N}:wring              list   endpoints that have work and may fly
--     {N}:wdue               zset   tasks by the time of their next attempt
--     {N}:wbehind            set    endpoints with a behind cursor
--     {N}:wt:<endpoint>:<event>  hash  from the first claim on: state
--                                   (flying, due, waiting, done, failed,
--                                   trimmed),
--                                   attempt, token
--     {N}:wa:<endpoint>      stream attempts, the last 1000
--     {N}:whooks             zset   epochs of hooks children by lease
--     {N}:wown:<epoch>       set    tasks that a child holds
--     {N}:n backlog          tasks that have not ended
local FLYING_MAX = 8
local FAILING_FLYING_MAX = 1 -- most likely it is one that hangs
local WAITING_MAX = 10000
local ENDED_TTL_MS = 86400000
local OPEN_TTL_MS = 14 * 86400000 -- more than any schedule
local FAILING_MAX_MS = 5 * 86400000

local function endpoint_key(endpoint)
    return P .. 'we:' .. endpoint
end

local function task_key(endpoint, id)
    return P .. 'wt:' .. endpoint .. ':' .. id
end

local function backlog_add(count)
    if count ~= 0 then -- Lua's -0 is no integer to Redis
        call('HINCRBY', P .. 'n', 'backlog', count)
    end
end

-- How many more of its tasks may go now, given its fields of those names.
local function may_fly(flying, paused, failing)
    if paused then
        return 0
    end
    return (failing and FAILING_FLYING_MAX or FLYING_MAX) -
        (tonumber(flying) or 0)
end

-- Puts an endpoint on the ring if one of its tasks may go now. It is there
-- at most once.
local function offer(endpoint)
    local state = call('HMGET', endpoint_key(endpoint), 'enabled', 'ring',
        'flying', 'paused', 'failing')
    if state[1] == '1' and not state[2] and
        may_fly(state[3], state[4], state[5]) > 0 and
        call('LLEN', P .. 'w:' .. endpoint) > 0 then
        call('HSET', endpoint_key(endpoint), 'ring', 1)
        call('RPUSH', P .. 'wring', endpoint)
    end
end

-- A token for one child, if there is something to claim.
local function wake_for_tasks()
    if call('LLEN', P .. 'wring') > 0 then
        wake_hooks()
    end
end

local function task_end(endpoint, id, state)
    call('HSET', task_key(endpoint, id), 'state', state)
    call('PEXPIRE', task_key(endpoint, id), ENDED_TTL_MS)
    backlog_add(-1)
end

-- Out of a child's hand; false: its endpoint was deleted meanwhile.
local function task_land(own, endpoint, id)
    call('SREM', own, endpoint .. ' ' .. id)
    if call('EXISTS', endpoint_key(endpoint)) == 0 then
        call('DEL', task_key(endpoint, id))
        backlog_add(-1)
        return false
    end
    call('HDEL', task_key(endpoint, id), 'token')
    call('HINCRBY', endpoint_key(endpoint), 'flying', -1)
    return true
end

-- Tried again at a time of Redis' clock; 0: at once, before all others.
local function task_wait(endpoint, id, at)
    if call('HGET', endpoint_key(endpoint), 'enabled') ~= '1' then
        task_end(endpoint, id, 'failed')
    elseif at == 0 then
        call('HSET', task_key(endpoint, id), 'state', 'waiting')
        call('LPUSH', P .. 'w:' .. endpoint, id)
    else
        call('HSET', task_key(endpoint, id), 'state', 'due')
        call('ZADD', P .. 'wdue', at, endpoint .. ' ' .. id)
    end
end

-- Nothing was sent: no attempt counts.
local function task_return(endpoint, id, at)
    call('HINCRBY', task_key(endpoint, id), 'attempt', -1)
    task_wait(endpoint, id, at)
    offer(endpoint)
end

-- Gives back at most 100 of what a child that is gone held; true: all of it.
local function give_back(epoch)
    local own = P .. 'wown:' .. epoch
    for _, task in ipairs(call('SRANDMEMBER', own, 100)) do
        local endpoint, id = string.match(task, '^(%S+) (%S+)$')
        if task_land(own, endpoint, id) then
            task_return(endpoint, id, 0)
        end
    end
    if call('SCARD', own) > 0 then
        return false
    end
    call('ZREM', P .. 'whooks', epoch)
    return true
end

-- What waits is dropped, what flies ends by its report.
local function waiting_drop(endpoint)
    backlog_add(-call('LLEN', P .. 'w:' .. endpoint))
    call('UNLINK', P .. 'w:' .. endpoint)
    call('SREM', P .. 'wbehind', endpoint)
    call('HDEL', endpoint_key(endpoint), 'behind', 'failing')
end

-- The set of an endpoint's event names; "x.*" stands for all of x, "*" for
-- all there are.
local function names_of(events, defaults)
    local names = {}
    for name in string.gmatch(events == '' and defaults or events, '%S+') do
        names[name] = true
    end
    return names
end

-- Remembers what was found out, since 100 endpoints may be asked of 200 events.
local function wants(names, kind)
    if names[kind] == nil then
        names[kind] = names[string.match(kind, '^[^.]*') .. '.*'] or
            names['*'] or false
    end
    return names[kind]
end

-- The kind of each event of a stream.
local function kinds_of(entries)
    local kinds = {}
    for i, entry in ipairs(entries) do
        kinds[i] = string.match(entry[2][2], '^{"t":"([%w_.]+)"') or ''
    end
    return kinds
end

-- Appends events of a stream that an endpoint wants to its list, up to the
-- limit. The id behind which the rest lies; nil: all were taken.
local function tasks_push(endpoint, names, entries, kinds, before)
    local waiting = call('LLEN', P .. 'w:' .. endpoint)
    local ids = {}
    local rest
    for i, entry in ipairs(entries) do
        if wants(names, kinds[i]) then
            if waiting + #ids >= WAITING_MAX then
                rest = before
                break
            end
            ids[#ids + 1] = entry[1]
        end
        before = entry[1]
    end
    if #ids > 0 then
        call('RPUSH', P .. 'w:' .. endpoint, unpack(ids))
        backlog_add(#ids)
        offer(endpoint)
    end
    return rest
end
