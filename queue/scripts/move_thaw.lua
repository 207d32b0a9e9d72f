#!lua flags=allow-oom
-- needs: prelude
-- The owner is unpacked: he is served from now on, unless he was frozen before
-- he moved. ARGV: 1 owner. Answers {'ok'}.
local key = P .. 'o:' .. ARGV[1]
if call('HGET', key, 'frozen') == 'arriving' then
    if call('HDEL', key, 'was') == 1 then
        call('HSET', key, 'frozen', 1)
    else
        call('HDEL', key, 'frozen')
    end
end
return { 'ok' }
