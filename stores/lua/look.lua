-- A job as it is.
-- ARGV: id.  Returns its FIELDS in order and, last, how many jobs wait before it (false unless it waits), or nothing.
local id = ARGV[1]
local values = redis.call('HMGET', key(id, 'job'), unpack(FIELDS))
if not values[1] then return false end
local rank = values[1] == 'QUEUED' and redis.call('ZRANK', 'dr:open', id)
values[#FIELDS + 1] = rank and math.max(0, rank - redis.call('ZCARD', 'dr:leases'))
return values
