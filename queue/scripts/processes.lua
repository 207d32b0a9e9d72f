#!lua flags=no-writes
-- needs: prelude
-- What the living processes say of themselves (process.lua).
return call('ZRANGEBYSCORE', P .. 'alive', clock(), '+inf', 'LIMIT', 0, 10000)
