#!lua
-- needs: prelude domains
-- Domains whose check is due, of the first owner who has some; they are due
-- again after the lease. ARGV: 1 how many, 2 lease (ms).
-- Answers {ms until the next one is due (-1: none), owner ('': none is due),
-- then id, version and text of each}.
local limit, lease = ARGV[1], tonumber(ARGV[2])
local now = clock()
local answer = { -1, '' }

local owner = call('ZRANGEBYSCORE', P .. 'ddue', '-inf', now, 'LIMIT', 0, 1)[1]
if owner and is_leaving(owner) then
    call('ZREM', P .. 'ddue', owner) -- move_unpack puts him back
elseif owner then
    answer[2] = owner
    local key = P .. 'dd:' .. owner
    for _, id in ipairs(call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0,
        limit)) do
        local text = call('HGET', P .. 'do:' .. owner, id)
        if text then
            answer[#answer + 1] = id
            answer[#answer + 1] = text
            call('ZADD', key, int(now + lease), id)
        else
            call('ZREM', key, id)
        end
    end
    domains_rank('d', owner)
end
local first = call('ZRANGE', P .. 'ddue', 0, 0, 'WITHSCORES')
if first[1] then
    answer[1] = int(math.max(0, first[2] - now))
end
return answer
