-- The events suppression.added and suppression.removed: one each in the life
-- of an id. Who raises one announces it, and books what it costs (history.lua).
local NAMES = { b = 'bounce', c = 'complaint', m = 'manual' }

-- what: "added" or "removed"; s: as it is on the list, or was.
local function suppression_tell(owner, what, s)
    local source = s.source == '-' and '' or ',"src":"' .. s.source .. '"'
    local record = owner_event(owner, 'suppression.' .. what, s.id, 1, now,
        ',"box":' .. cjson.encode(s.address) .. ',"by":"' .. NAMES[s.origin] ..
        '"' .. source .. ',"cr":' .. s.created)
    charged = charged + #record + EVENT_BYTES
end
