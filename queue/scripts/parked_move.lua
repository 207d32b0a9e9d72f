#!lua flags=allow-oom
-- needs: prelude summary history deliveries
-- Requeues or drops what is held, or dead: the columns retry and cancel of
-- the state table. ARGV: 1 'held' or 'dead', 2 'requeue' or 'drop', 3 owner
-- ('': all), 4 keep_bodies (ms), then ids.
-- Answers {how many it moved, event counts}.
local STATES = { held = 'h', dead = 'k' }
local state, owner = STATES[ARGV[1]], ARGV[3]
local moved = 0
keep_bodies = tonumber(ARGV[4])
now = clock()
for i = 5, #ARGV do
    local d = load(ARGV[i])
    if d and d.s == state and (owner == '' or d.o == owner) and
        not no_change(d.o) then
        if ARGV[2] == 'requeue' then
            requeue(d, false)
        else
            finish(d, 'C', 'canceled', nil, '')
        end
        moved = moved + 1
    end
end
return { moved, settle() }
