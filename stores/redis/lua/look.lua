-- A job as it is.
-- ARGV: id.  Returns nothing, or its FIELDS in order; then, while it is unfinished, its outlook.
local id = ARGV[1]
local values = redis.call('HMGET', key(id, 'job'), unpack(FIELDS))
local state = values[1]
if not state then return false end
if final(state) then return values end
for _, value in ipairs(outlook(id, state, values[3], values[2])) do values[#values + 1] = value end
return values
