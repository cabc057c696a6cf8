-- Accept a job: its record, its first event and its place in every list, or the limit that forbids it.
-- ARGV: id, owner, now, most open jobs, most open of the owner, usage key, most that day, message due, field, value...
-- Returns {'created', waiting} | {'full', open} | {'queued', open} | {'daily', used} | {'exists', open}
local id, owner, now = ARGV[1], ARGV[2], tonumber(ARGV[3])
local most, most_owned, usage, most_daily, due = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])

local open = redis.call('ZCARD', 'dr:open')
if redis.call('EXISTS', key(id, 'job')) == 1 then return {'exists', open} end
if open >= most then return {'full', open} end
local owned = redis.call('ZCARD', 'dr:open:' .. owner)
if most_owned >= 0 and owned >= most_owned then return {'queued', owned} end
local used = tonumber(redis.call('GET', usage)) or 0
if most_daily >= 0 and used >= most_daily then return {'daily', used} end

redis.call('INCR', usage)
redis.call('EXPIRE', usage, 172800)
redis.call('HSET', key(id, 'job'), 'state', 'QUEUED', 'seq', 0, 'attempt', 0, 'deliveries', 0, 'previewVersion', 0,
  'owner', owner, 'usageKey', usage, 'startTime', ARGV[3], 'queuedAt', ARGV[3], unpack(ARGV, 9))
redis.call('ZADD', 'dr:open', now, id)
redis.call('ZADD', 'dr:open:' .. owner, now, id)
redis.call('ZADD', 'dr:jobs:' .. owner, now, id)
redis.call('ZADD', 'dr:outbox', due, id)
count(id, 'QUEUED', 1)
append(id, now, 'queued')
return {'created', open - redis.call('ZCARD', 'dr:leases')}
