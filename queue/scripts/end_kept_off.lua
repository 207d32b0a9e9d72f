-- The end of a function (scripts.h): deliveries to addresses that no mail goes
-- to, just stored by enqueue.lua, end. Its arguments: 1 time, 2 keep_bodies
-- (ms), 3 email, 4 list of numbers and fields of the event, in turn.
local at, keep, email, kept_off = ...
now, keep_bodies = at, keep
for i = 1, #kept_off, 2 do
    local d = load(email .. ':' .. kept_off[i])
    d.s = '' -- it is in no place
    finish(d, 'P', 'suppressed', nil, kept_off[i + 1])
end
settle()
