#!lua flags=no-writes
-- needs: prelude
-- What is known of one email. ARGV: 1 email, 2 who asks.
-- Answers {record, history, {number, delivery as HGETALL, ...}}; record and
-- history are nil when there is none.
local email = ARGV[1]
local refusal = no_look(ARGV[2])
if refusal then
    return refusal
end
local kept = call('MGET', P .. 'c:' .. email, P .. 'h:' .. email)
local deliveries = {}
local first = call('HMGET', P .. 'd:' .. email .. ':0', 's', 'm')
local mailboxes = first[1] and (first[2] or 1) or 0
for n = 0, mailboxes - 1 do
    local fields = call('HGETALL', P .. 'd:' .. email .. ':' .. n)
    if #fields > 0 then
        table.insert(deliveries, n)
        table.insert(deliveries, fields)
    end
end
return { kept[1], kept[2], deliveries }
