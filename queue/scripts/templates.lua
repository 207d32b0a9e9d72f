-- The templates of an owner.
--
--   {N}:tl:<owner>       zset, all scores 0: their ids
--   {N}:ta:<owner>       hash: alias -> id; '#bytes': of all their sources
--   {N}:tp:<owner>:<id>  hash: alias ('': none), name, dv: newest version,
--        pv: published one ('': none), cr, up, pu: times (ms; pu '': never),
--        d<version>: source, of dv and pv; no other version is kept
local TEMPLATES_MAX = 500
local TEMPLATE_BYTES_MAX = 67108864 -- of an owner

local function template_key(owner, id)
    return P .. 'tp:' .. owner .. ':' .. id
end

-- By "i<id>" or "a<alias>", which may be any text. nil: there is none.
local function template_find(owner, name)
    local rest = string.sub(name, 2)
    if string.sub(name, 1, 1) == 'a' then
        return rest ~= '#bytes' and call('HGET', P .. 'ta:' .. owner, rest) or
            nil
    end
    return call('ZSCORE', P .. 'tl:' .. owner, rest) and rest or nil
end

-- Another one has that alias.
local function template_is_taken(owner, alias, id)
    local other = alias ~= '' and call('HGET', P .. 'ta:' .. owner, alias)
    return other and other ~= id
end

local function template_has_room(owner, more)
    local bytes = call('HGET', P .. 'ta:' .. owner, '#bytes') or 0
    return bytes + more <= TEMPLATE_BYTES_MAX
end

local function template_charge(owner, bytes)
    call('HINCRBY', P .. 'ta:' .. owner, '#bytes', int(bytes))
end

local function template_drop_source(owner, key, version)
    template_charge(owner, -call('HSTRLEN', key, 'd' .. version))
    call('HDEL', key, 'd' .. version)
end
