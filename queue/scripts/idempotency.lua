
-- Idempotency keys (keys.h i:). The value is "fingerprint status answer". An
-- action whose answer no script can write (cancel, retry) is kept with status
-- 0 and how much it changed; the answer takes that one's place. hash '': no
-- key was given.
local IDEMPOTENCY_MS = 86400000

-- What to answer instead: {'conflict'}, {'done', how much it changed} or
-- {'replay', status, answer}.
local function idempotency_seen(kept, fingerprint)
    local first, status, answer = string.match(kept, '^(%S+) (%d+) (.*)$')
    if first ~= fingerprint then
        return {'conflict'}
    end
    if status == '0' then
        return {'done', answer}
    end
    return {'replay', status, answer}
end

-- nil: go on.
local function idempotency_look(owner, hash, fingerprint)
    local kept = hash ~= '' and call('GET', P .. 'i:' .. owner .. ':' .. hash)
    if not kept then
        return nil
    end
    return idempotency_seen(kept, fingerprint)
end

local function idempotency_keep(owner, hash, fingerprint, status, answer)
    if hash ~= '' then
        call('SET', P .. 'i:' .. owner .. ':' .. hash,
            fingerprint .. ' ' .. status .. ' ' .. answer,
            'PX', IDEMPOTENCY_MS)
    end
end

-- Both in one call, for scripts that cannot fail any more. nil: it is ours.
local function idempotency_claim(owner, hash, fingerprint, status, answer)
    local kept = hash ~= '' and call('SET', P .. 'i:' .. owner .. ':' .. hash,
        fingerprint .. ' ' .. status .. ' ' .. answer, 'NX', 'GET',
        'PX', IDEMPOTENCY_MS)
    if not kept then
        return nil
    end
    return idempotency_seen(kept, fingerprint)
end

-- What an action did, in one step with it.
local function idempotency_acted(owner, hash, fingerprint, changed)
    idempotency_keep(owner, hash, fingerprint, '0', int(changed))
    return {'ok', changed}
end
