#!lua flags=no-writes
-- needs: prelude summary deliveries
-- What is held, or dead, in the order in which it ends. ARGV: 1 'held' or
-- 'dead', 2 owner ('': all), 3 and 4 end and id behind which to go on ('' and
-- '' from the start), 5 how many at most. Looks at 1,000 a call.
-- Answers {how many there are of all owners, {id, end, owner, lane, since,
-- how, upstream, attempts, crashes, outcome, summary} of each, end and id to
-- go on behind ('' and '': that was all)}.
local LOOKS_MAX = 1000
local key, owner, max = P .. ARGV[1], ARGV[2], tonumber(ARGV[5])

-- Those of one end stand in the order of their ids, so the place is sure
-- however many come and go before it. A batch that has one deadline is of any
-- size, so the place is looked for by halves.
local function place_behind(ends, id)
    local low = call('ZCOUNT', key, '-inf', '(' .. ends)
    local high = low + call('ZCOUNT', key, ends, ends)
    while low < high do
        local middle = math.floor((low + high) / 2)
        if call('ZRANGE', key, middle, middle)[1] > id then
            high = middle
        else
            low = middle + 1
        end
    end
    return low
end

local function candidates()
    local from = ARGV[3] == '' and 0 or place_behind(ARGV[3], ARGV[4])
    local flat = call('ZRANGE', key, from, from + LOOKS_MAX - 1, 'WITHSCORES')
    local found = {}
    for i = 1, #flat, 2 do
        table.insert(found, { flat[i], flat[i + 1] })
    end
    return found, #found == LOOKS_MAX
end

local function entry(d, ends)
    local pieces = {}
    for i = 1, PIECES do
        pieces[i] = d['p' .. i]
    end
    return { d.id, ends, d.o, d.l, d.hs or '', d.hw or '', d.hu or '', d.a,
        d.sc or '', join_pieces(pieces, 1), (summary_of(d.email)) }
end

local found, is_cut = candidates()
local list = {}
local last = { '', '' }
for _, member in ipairs(found) do
    if #list == max then
        is_cut = true
        break
    end
    last = member
    local d = load(member[1])
    if d and (d.s == 'h' or d.s == 'k') and (owner == '' or d.o == owner) then
        table.insert(list, entry(d, member[2]))
    end
end
if not is_cut then
    last = { '', '' }
end
return { call('ZCARD', key), list, last[2], last[1] }
