
-- Idempotency keys (keys.h i:). The value is "fingerprint status answer";
-- status 0: the first request is not answered yet. hash '': no key was given.
local IDEMPOTENCY_MS = 86400000

-- nil: go on. Else what to answer: {'conflict'}, {'running'} or
-- {'replay', status, answer}.
local function idempotency_look(owner, hash, fingerprint)
    local kept = hash ~= '' and call('GET', P .. 'i:' .. owner .. ':' .. hash)
    if not kept then
        return nil
    end
    local first, status, answer = string.match(kept, '^(%S+) (%d+) (.*)$')
    if first ~= fingerprint then
        return {'conflict'}
    end
    if status == '0' then
        return {'running'}
    end
    return {'replay', status, answer}
end

local function idempotency_keep(owner, hash, fingerprint, status, answer)
    if hash ~= '' then
        call('SET', P .. 'i:' .. owner .. ':' .. hash,
            fingerprint .. ' ' .. status .. ' ' .. answer,
            'PX', IDEMPOTENCY_MS)
    end
end
