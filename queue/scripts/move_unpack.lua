#!lua flags=allow-oom
-- needs: prelude summary history deliveries tasks baggage domains
-- Unpacks the bag of an owner who has arrived, or stays: everything goes to
-- its place, and is counted. A step a call. ARGV: 1 owner.
-- Answers {1: there is more, 0: the bag is empty}.
local owner = ARGV[1]
local ENTRIES = 100
local me, bag = P .. 'o:' .. owner, bag_key(owner)
local flows = P .. 'flows:' .. owner
now = clock()

-- In one step: what was copied counts from now on. Of his mail that comes back
-- to a place from here on nothing goes into the bag, which is looked into for
-- the last time before he is served.
local function move_in()
    local fields = call('HGETALL', P .. 'mo:' .. owner)
    if #fields > 0 then
        call('DEL', me)
        call('HSET', me, unpack(fields))
        call('DEL', P .. 'mo:' .. owner)
    end
    if call('HGET', me, 'frozen') == 'leaving' then
        call('HSET', me, 'frozen', 'arriving')
    end
end

-- Before the first of the tasks that were due is back: when its time comes, it
-- waits with them, and is counted already.
local function count_waiting()
    if call('HDEL', me, 'packed') == 1 then
        for _, endpoint in ipairs(endpoints_of(owner)) do
            backlog_add(call('LLEN', P .. 'w:' .. endpoint))
        end
    end
end

-- Of one who stays, and whose packing had just begun: what is in no bag yet
-- goes back into its ring, and on the counters.
local function open_flows()
    for _, tail in ipairs(call('LRANGE', flows, 0, -1)) do
        local lane, route = string.match(tail, '^(%d):(.*)$')
        local waiting = call('LLEN', P .. 'q:' .. lane .. ':' .. owner .. ':' ..
            route)
        if waiting > 0 then
            call('RPUSH', P .. 'ring:' .. tail, owner)
            call('SADD', P .. 'routes', route)
            call('HINCRBY', P .. 'n', 'accepted', waiting)
            wake(lane, route)
        end
    end
    call('DEL', flows)
end

local place = {}

function place.q(d)
    if d.sc then
        call('RPUSH', P .. 'suspect', d.id)
    else
        flow_push(d.l, d.o, d.r, d.id, false)
    end
end

function place.u(d)
    local key = P .. 'due:' .. d.l
    call('ZADD', key, tonumber(d.du) or now, d.id)
    if call('ZRANGE', key, 0, 0)[1] == d.id then
        wake(d.l, d.r) -- the earliest: whoever waits must know
    end
end

function place.h(d, score)
    call('ZADD', P .. 'held', score, d.id)
end

function place.k(d, score)
    call('ZADD', P .. 'dead', score, d.id)
end

local unpack_entry = {}

function unpack_entry.d(text)
    local score, id = string.match(text, '^(%S+) (%S+)$')
    call('HDEL', P .. 'd:' .. id, 'mv')
    local d = load(id)
    if d.dl then
        call('ZADD', P .. 'exp', d.ends, id)
    end
    place[d.s](d, score)
    call('HINCRBY', P .. 'n', 'accepted', 1)
end

-- ended is in the order of time, which these would disturb.
function unpack_entry.e(line)
    local at, history, body = string.match(line, LINE)
    call('ZADD', P .. 'arrived', at, line)
    if body ~= '0' then
        call('ZADD', P .. 'arrivedb', at, line)
    end
    charged = charged + history + body
end

function unpack_entry.w(text)
    local score, task = string.match(text, '^(%S+) (.*)$')
    call('ZADD', P .. 'wdue', score, task)
    backlog_add(string.sub(task, -2) == ' -' and 0 or 1)
end

local function open_endpoints()
    for _, endpoint in ipairs(endpoints_of(owner)) do
        if call('HEXISTS', endpoint_key(endpoint), 'behind') == 1 then
            call('SADD', P .. 'wbehind', endpoint)
        end
        call('HDEL', endpoint_key(endpoint), 'ring')
        call('LREM', P .. 'wring', 0, endpoint)
        offer(endpoint)
    end
    wake_for_tasks()
end

local function announce_events()
    local first = call('XRANGE', P .. 'ev:' .. owner, '-', '+', 'COUNT', 1)[1]
    call('LREM', P .. 'evring', 0, owner)
    if first then
        call('ZADD', P .. 'evold', 'NX',
            string.match(first[2][2], '"at":(%d+)'), owner)
        announce(owner, nil)
    else
        call('HDEL', me, 'ev')
    end
end

local function announce_suppressions()
    local first = call('ZRANGE', P .. 'sx:' .. owner, 0, 0, 'WITHSCORES')
    if first[1] then
        call('ZADD', P .. 'sold', 'LT', first[2], owner)
    end
end

move_in()
count_waiting()
open_flows()
local entries = call('LRANGE', bag, 0, ENTRIES - 1)
for _, entry in ipairs(entries) do
    unpack_entry[string.sub(entry, 1, 1)](string.sub(entry, 3))
end
call('LTRIM', bag, ENTRIES, -1)
if #entries == 0 then
    open_endpoints()
    announce_events()
    announce_suppressions()
    domains_rank('x', owner)
    domains_rank('d', owner)
end
settle()
return { #entries > 0 and 1 or 0 }
