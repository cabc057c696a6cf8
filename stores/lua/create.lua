-- Accept a job: its record, its first event and its place in every list, or the limit that forbids it.
-- ARGV: id, owner, now, most open jobs, most open of the owner, usage key, most that day, idempotency key or '',
--       digest of the body, field, value...
-- Returns {'created', its outlook...} | {'full'} | {'queued'} | {'daily'} | {'replayed', id} | {'mismatch', id}
local id, owner, now = ARGV[1], ARGV[2], tonumber(ARGV[3])
local most, most_owned, usage, most_daily = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local idempotency, digest = ARGV[8], ARGV[9]

local function created() return {'created', unpack(outlook(id, get(id, 'state'), get(id, 'site'), owner), 1, 6)} end

if redis.call('EXISTS', key(id, 'job')) == 1 then return created() end
local kept = idempotency ~= '' and redis.call('GET', idempotency)
if kept then return {kept:sub(33) == digest and 'replayed' or 'mismatch', kept:sub(1, 32)} end
local limit = limit_reached(owner, most, most_owned, usage, most_daily)
if limit then return {limit} end

redis.call('INCR', usage)
redis.call('EXPIRE', usage, 172800)
redis.call('HSET', key(id, 'job'), 'state', 'QUEUED', 'seq', 0, 'attempt', 0, 'deliveries', 0, 'previewVersion', 0,
  'owner', owner, 'usageKey', usage, 'startTime', ARGV[3], 'queuedAt', ARGV[3], unpack(ARGV, 10))
redis.call('ZADD', 'dr:open', now, id)
redis.call('ZADD', 'dr:open:' .. owner, now, id)
redis.call('ZADD', 'dr:jobs:' .. owner, now, id)
if idempotency ~= '' then redis.call('SET', idempotency, id .. digest, 'EX', IDEMPOTENCY_S) end
count(id, 'QUEUED', 1)
append(id, now, 'queued')
offer(id)
return created()
