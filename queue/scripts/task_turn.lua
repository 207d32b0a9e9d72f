#!lua flags=allow-oom
-- needs: prelude history summary streams tasks
-- task_turn EPOCH LEASE_MS WANT RESULTS
--   then per result: ENDPOINT EVENT TOKEN OUTCOME DELAY_MS ATTEMPT
-- One turn of a hooks child: heartbeat, results, what became due, what dead
-- children held, claims. OUTCOME: done, again, failed, gone, unsent;
-- ATTEMPT: JSON for the list of attempts, "" for none. WANT -1: the child
-- leaves.
-- Answers {"unregistered"}, or {"ok", ms until the next due task or -1,
-- backlog, {"endpoint reason" disabled by this turn}, then per claim
-- {endpoint, event, token, attempt, url, secret, record, summary ("" when it
-- is gone or none is needed)}}.
local PROMOTE_MAX = 100
local QUANTUM = 4
local REPLY_MAX = 512 * 1024
local ATTEMPTS_KEPT = 1000
local MOST_SUMMARIES = 2048 -- bytes that they fit into

local epoch, lease_ms = ARGV[1], tonumber(ARGV[2])
local want, results = tonumber(ARGV[3]), tonumber(ARGV[4])
local own = P .. 'wown:' .. epoch
local now = clock()

if not call('ZSCORE', P .. 'whooks', epoch) then
    return {'unregistered'}
end

-- No task of the endpoint is claimed until then; those under way go on.
local function pause(endpoint, at)
    call('HSET', endpoint_key(endpoint), 'paused', 1)
    call('ZADD', P .. 'wdue', 'GT', at, endpoint .. ' -')
end

local disabled = {} -- by this turn

local function disable(endpoint, reason)
    local key = endpoint_key(endpoint)
    local about = call('HMGET', key, 'owner', 'url', 'enabled')
    if about[3] ~= '1' then
        return
    end
    call('HSET', key, 'enabled', 0, 'reason', reason)
    disabled[#disabled + 1] = endpoint .. ' ' .. reason
    waiting_drop(endpoint)
    local record = owner_event(about[1], 'webhook.disabled', endpoint,
        call('HINCRBY', key, 'disabled', 1), now,
        ',"why":"' .. reason .. '","url":' .. cjson.encode(about[2]))
    charged = charged + #record + EVENT_BYTES
    announce(about[1], call('HGET', P .. 'o:' .. about[1], 'ev'))
end

local function failed(endpoint, id, outcome, delay_ms)
    local key = endpoint_key(endpoint)
    call('HSETNX', key, 'failing', now)
    if outcome == 'gone' then
        disable(endpoint, 'gone')
    elseif now - call('HGET', key, 'failing') >= FAILING_MAX_MS then
        disable(endpoint, 'failing')
    end
    if outcome == 'busy' then
        pause(endpoint, now + delay_ms)
    end
    if outcome == 'again' or outcome == 'busy' then
        task_wait(endpoint, id, now + delay_ms)
    else
        task_end(endpoint, id, 'failed')
    end
end

-- Fenced by the token: a report of a task that was given back changes
-- nothing.
local function finish(endpoint, id, token, outcome, delay_ms, attempt)
    if call('HGET', task_key(endpoint, id), 'token') ~= token or
        not task_land(own, endpoint, id) then
        return
    end
    if attempt ~= '' then
        call('XADD', P .. 'wa:' .. endpoint, 'MAXLEN', '~', ATTEMPTS_KEPT, '*',
            'event', id, 'a', attempt)
    end
    if outcome == 'unsent' then
        task_return(endpoint, id, delay_ms > 0 and now + delay_ms or 0)
    elseif outcome == 'done' then
        call('HDEL', endpoint_key(endpoint), 'failing')
        task_end(endpoint, id, 'done')
    elseif outcome == 'lost' then
        task_end(endpoint, id, 'failed')
    else
        failed(endpoint, id, outcome, delay_ms)
    end
    offer(endpoint)
end

local function take_back()
    local dead = call('ZRANGEBYSCORE', P .. 'whooks', '-inf', now, 'LIMIT', 0,
        2)
    for _, other in ipairs(dead) do
        if other ~= epoch then
            give_back(other)
        end
    end
end

local function promote_task(endpoint, id)
    if call('HGET', endpoint_key(endpoint), 'enabled') == '1' then
        call('HSET', task_key(endpoint, id), 'state', 'waiting')
        call('RPUSH', P .. 'w:' .. endpoint, id)
    else
        task_end(endpoint, id, 'failed')
    end
end

local function promote()
    local due = call('ZRANGEBYSCORE', P .. 'wdue', '-inf', now, 'LIMIT', 0,
        PROMOTE_MAX)
    for _, task in ipairs(due) do
        local endpoint, id = string.match(task, '^(%S+) (%S+)$')
        call('ZREM', P .. 'wdue', task)
        if id == '-' then
            call('HDEL', endpoint_key(endpoint), 'paused')
        else
            promote_task(endpoint, id)
        end
        offer(endpoint)
    end
end

local reply = {}
local reply_bytes = 0

local function claim_task(endpoint, id, about)
    local task = task_key(endpoint, id)
    local entry = call('XRANGE', P .. 'ev:' .. about[1], id, id)[1]
    if not entry then
        task_end(endpoint, id, 'trimmed')
        return 0
    end
    local token = epoch .. ':' .. call('HINCRBY', task, 'claims', 1)
    local attempt = call('HINCRBY', task, 'attempt', 1)
    local record = entry[2][2]
    local email = email_of(record)
    local summary = email and kept_summary(email) or ''
    call('HSET', task, 'state', 'flying', 'token', token)
    call('PEXPIRE', task, OPEN_TTL_MS)
    call('SADD', own, endpoint .. ' ' .. id)
    reply[#reply + 1] = {endpoint, id, token, attempt, about[2], about[3],
        record, summary}
    reply_bytes = reply_bytes + #record + #summary + 1024
    return 1
end

-- A quantum from the endpoint at the head of the ring; how many events left
-- its list.
local function claim_endpoint(endpoint, room)
    local key, list = endpoint_key(endpoint), P .. 'w:' .. endpoint
    local about = call('HMGET', key, 'owner', 'url', 'secret', 'flying',
        'paused', 'failing')
    local quantum = math.min(QUANTUM, room,
        may_fly(about[4], about[5], about[6]))
    local ids = quantum > 0 and call('LRANGE', list, 0, quantum - 1) or {}
    local claimed = 0
    for _, id in ipairs(ids) do
        claimed = claimed + claim_task(endpoint, id, about)
    end
    call('LTRIM', list, #ids, -1)
    call('LPOP', P .. 'wring')
    if about[1] then
        call('HDEL', key, 'ring')
        call('HINCRBY', key, 'flying', claimed)
        offer(endpoint)
    end
    return #ids
end

call('ZADD', P .. 'whooks', now + lease_ms, epoch)
for i = 5, 4 + results * 6, 6 do
    finish(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3],
        tonumber(ARGV[i + 4]), ARGV[i + 5])
end
take_back()
promote()
while want > 0 and reply_bytes < REPLY_MAX do
    local endpoint = call('LINDEX', P .. 'wring', 0)
    if not endpoint then
        break
    end
    want = want - claim_endpoint(endpoint, want)
end
if want < 0 then
    give_back(epoch)
    if call('LLEN', P .. 'evring') > 0 then
        wake_hooks() -- a token may have come to it while it stopped
    end
end
wake_for_tasks()
book()

local due = call('ZRANGE', P .. 'wdue', 0, 0, 'WITHSCORES')[2]
return {'ok', due and math.max(0, due - now) or -1,
    tonumber(call('HGET', P .. 'n', 'backlog')) or 0, disabled,
    unpack(reply)}
