#!lua flags=allow-oom
-- needs: prelude summary history deliveries suppressions
-- Suspects, which may have crashed a child, are claimed one by one, by a child
-- that has nothing else in hand. ARGV: 1 epoch, 2 lease in ms, 3 keep_bodies
-- (ms), 4 what: look, claim or leave, 5 number for the token.
--   look   is there one, and is the duty ours? Answers {'quiet'}: have nothing
--          in hand, then claim; else {'none'}
--   claim  answers {'claim', claim, contents, event counts} as turn.lua,
--          or {'none'}
--   leave  gives the duty up. Answers {'none'}
-- The duty is one child's at a time, for two leases unless it looks again.
local epoch, lease = ARGV[1], tonumber(ARGV[2])
keep_bodies = tonumber(ARGV[3])
local what = ARGV[4]
local LOOKS_MAX = 20

now = clock()
local list, duty = P .. 'suspect', P .. 'alone'
local holder_now = call('GET', duty)

local function leave_duty()
    if holder_now == epoch then
        call('DEL', duty)
    end
    return { 'none' }
end

-- The first that still waits; what does not is dropped, what is late ends.
local function first_suspect()
    for _, id in ipairs(call('LRANGE', list, 0, LOOKS_MAX - 1)) do
        local d = load(id)
        if d and d.s == 'q' and d.sc then
            local is_late = d.x > 0 and d.x <= now
            local why = not is_late and kept_off(d, now)
            if why then
                finish(d, 'P', 'suppressed', nil, why)
            elseif is_late then
                expire(d)
            else
                return d
            end
        end
        call('LPOP', list)
        leftovers = leftovers - 1
    end
    return nil
end

local function claim(d)
    local token = epoch .. ':' .. ARGV[5]
    call('LPOP', list)
    call('HSET', d.key, 's', 'c', 't', token, 'al', token)
    if d.w or d.nr then
        call('HDEL', d.key, 'w', 'nr')
    end
    call('SADD', P .. 'own:' .. epoch, d.id)
    local v = call('HMGET', P .. 'd:' .. d.email .. ':0', 'b', 'bj')
    return { 'claim', d.id .. ' ' .. token .. ' ' .. d.l .. ' ' ..
        int(d.a + 1) .. ' ' .. d.g .. ' ' .. (d.dup or '0') .. ' ' ..
        (d.k or 'r') .. ' ' .. d.f .. ' ' .. int(d.x) .. ' ' ..
        (d.dl or '0') .. ' ' .. (v[1] or '0') .. ' ' .. (v[2] or '0') .. ' ' ..
        d.r, { d.email, call('GET', P .. 'c:' .. d.email) }, settle() }
end

if what == 'leave' or not call('ZSCORE', P .. 'workers', epoch) then
    return leave_duty()
end
local d = first_suspect()
if not d then
    settle()
    return leave_duty()
elseif holder_now and holder_now ~= epoch then
    settle()
    return { 'none' }
end
call('SET', duty, epoch, 'PX', int(2 * lease))
if what == 'look' then
    settle()
    return { 'quiet' }
end
return claim(d)
