#!lua flags=allow-oom
-- needs: prelude summary history deliveries
-- 250s that dead children read and could not report (journal.h): the cell
-- "late sent" of the state table, fenced by the token of the last claim.
-- ARGV: 1 keep_bodies (ms), then of each: id, token, '1' over a final route,
-- outcome, event fields.
-- Answers {'ok', how many were news, event counts}.
keep_bodies = tonumber(ARGV[1])
now = clock()
local sent = 0
for i = 2, #ARGV, 5 do
    local d = load(ARGV[i])
    if d and not is_final(d) and d.t == ARGV[i + 1] then
        local outcome, fields = ARGV[i + 3], ARGV[i + 4]
        d.a = d.a + 1
        if ARGV[i + 2] == '1' then
            finish(d, 'D', 'sent', outcome, fields, 'delivered')
        else
            finish(d, 'S', 'sent', outcome, fields)
        end
        sent = sent + 1
    end
end
return { 'ok', sent, settle() }
