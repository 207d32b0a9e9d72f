-- What is kept of mail behind its end, and what it costs: n history_bytes,
-- which sweep.lua holds against redis.history_max. Each part is charged where
-- it is written and refunded, to the byte, where it is swept:
--
--   history   h:<email> and its line in ended, when the email ends
--   body      c and b, if they outlive the end
--   events    by the script that raised them; that of the acceptance when the
--             email ends, so that enqueue need not
--   timeline, index   t and x, by project.lua
--   attempts  a, by turn.lua; the same as a timeline, and in attempt_bytes:
--             those of mail that is open cannot be swept, so they have a part
--             of the limit, history_limit, of their own
--
-- Beside the text itself a key costs Redis its name, its place in the table
-- of keys and the head of its value (measured: tests/bench/retention.c).
--
--   {N}:ended  list, oldest first, a line for each end of an email:
--              "<ms> <history> <body> <chunks> <sequence> <email> <owner>"
--   {N}:arrived  zset, such lines of owners who moved here, by time;
--   {N}:arrivedb zset, those of them whose body is not swept
--   {N}:n      bodiless: lines at the head of ended whose body is swept
--   {N}:x:<owner>:<day>  zset, all scores 0: what was accepted on a day (of
--              the id's time / 86400000). Members: t<email>, with r<hash> for
--              each recipient and g<hash> for each tag behind it;
--              r<hash><email>; g<hash><email>. A hash has 8 letters.
local KEY_BYTES = 120
local LINE_BYTES = 90
local EVENT_BYTES = 20
local ACCEPTED_BYTES = 200
local TIMELINE_BYTES = 190
local ITEM_BYTES = 6
local INDEX_BYTES = 140
local DAY_MS = 86400000

-- Of this script; settle and sweep book it.
local charged = 0
local of_attempts = 0 -- of charged

local function charge_attempts(bytes)
    charged = charged + bytes
    of_attempts = of_attempts + bytes
end

-- Of a timeline, or of attempts.
local function list_bytes(items)
    local bytes = #items > 0 and TIMELINE_BYTES or 0
    for _, item in ipairs(items) do
        bytes = bytes + #item + ITEM_BYTES
    end
    return bytes
end

local function is_acceptance(record)
    return string.find(record, '^{"t":"email%.queued"') or
        string.find(record, '^{"t":"email%.scheduled"')
end

-- The email whose acceptance it is, if that is not charged: it is open, and no
-- end has charged it (deliveries.lua, ac).
local function uncharged_email(record)
    local email = is_acceptance(record) and
        string.match(record, '"e":"([^"]+)"')
    if not email then
        return nil
    end
    local first = call('HMGET', P .. 'd:' .. email .. ':0', 's', 'ac')
    return first[1] and not first[2] and email or nil
end

local function event_bytes(record)
    if uncharged_email(record) then
        return 0
    end
    return is_acceptance(record) and ACCEPTED_BYTES or #record + EVENT_BYTES
end

local function index_key(owner, email)
    local ms = tonumber(string.sub(email, 1, 8) .. string.sub(email, 10, 13),
        16)
    return P .. 'x:' .. owner .. ':' .. int(math.floor(ms / DAY_MS))
end

local function book()
    if charged ~= 0 then
        call('HINCRBY', P .. 'n', 'history_bytes', int(charged))
        charged = 0
    end
    if of_attempts ~= 0 then
        call('HINCRBY', P .. 'n', 'attempt_bytes', int(of_attempts))
        of_attempts = 0
    end
end
