-- Another master: marks that the old one had not passed on are lost with it,
-- so a claim without a mark may have been sent all the same. Those who had
-- registered before are unsure: unsure, a set of epochs. What living children
-- hold is theirs to tell; of dead ones it counts as unknown.

-- master: "host:port" as the Sentinels say; '' without them.
local function note_master(master)
    local known = master ~= '' and call('GET', P .. 'master')
    if master == '' or known == master then
        return
    end
    call('SET', P .. 'master', master)
    local epochs = known and call('ZRANGE', P .. 'workers', 0, -1) or {}
    for i = 1, #epochs, 1000 do
        call('SADD', P .. 'unsure', unpack(epochs, i,
            math.min(i + 999, #epochs)))
    end
end

local function is_unsure(epoch)
    return call('SISMEMBER', P .. 'unsure', epoch) == 1
end

-- It holds nothing any more.
local function forget_worker(epoch)
    call('ZREM', P .. 'workers', epoch)
    call('SREM', P .. 'unsure', epoch)
end
