-- The end of a function (scripts.h): the address of a delivery that bounces
-- goes on the list. Its arguments: 1 owner, 2 id of the email, 3 time, 4 "id
-- hash address", 5 the worker's code,"enhanced","reply", 6 origin, nil: bounce.
-- What it returns is to be called when the delivery has ended, whose events are
-- announced: all that it looks at it has seen. That answers whether the address
-- came on the list.
local owner, email, at, what, outcome, origin = ...
local id, hash, address = string.match(what, '^(%S+) (%S+) (.*)$')
local code, enhanced = string.match(outcome, '^(%d+),"([^"]*)"')
now = at
local before = suppression_before(owner, hash)

-- 550/5.1.1, or one of the two; -: neither was said, or it is no bounce.
local function reason()
    local codes = {}
    if origin ~= 'c' and code and code ~= '0' then
        codes[1] = code
    end
    if origin ~= 'c' and enhanced and enhanced ~= '' then
        codes[#codes + 1] = enhanced
    end
    return codes[1] and table.concat(codes, '/') or '-'
end

return function()
    if not before then
        return false
    end
    local s = { id = id, address = address, origin = origin or 'b',
        source = email, reason = reason() }
    local _, is_new = suppression_add(owner, hash, before, s)
    if is_new then
        suppression_tell(owner, 'added', s)
    end
    return is_new
end
