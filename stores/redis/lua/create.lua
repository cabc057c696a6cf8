-- Accept a job: its record, its first event and its place in every list, or the limit that forbids it.
-- ARGV: id, owner, now, idempotency key or '', digest of the body, the six of limit_reached, most of the owner that run at once,
--       field, value...
-- Returns {'created', its outlook...} | {'full'} | {'queued'} | {'daily'} | {'weekly'} | {'replayed', id} | {'mismatch', id}
local id, owner, now, idempotency, digest = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local limits, most_running = {unpack(ARGV, 6, 11)}, tonumber(ARGV[12])
local KEPT_S = {[limits[3]] = 172800, [limits[5]] = 1209600}

local function created() return {'created', unpack(outlook(id, get(id, 'state'), get(id, 'site'), owner), 1, 6)} end

if redis.call('EXISTS', key(id, 'job')) == 1 then return created() end
local kept = idempotency ~= '' and redis.call('GET', idempotency)
if kept then return {kept:sub(33) == digest and 'replayed' or 'mismatch', kept:sub(1, 32)} end
local limit = limit_reached(owner, limits)
if limit then return {limit} end

for usage, seconds in pairs(KEPT_S) do
  redis.call('INCR', usage)
  redis.call('EXPIRE', usage, seconds)
end
if most_running < 0 then redis.call('DEL', 'dr:most:' .. owner) else redis.call('SET', 'dr:most:' .. owner, most_running) end
redis.call('HSET', key(id, 'job'), 'state', 'QUEUED', 'seq', 0, 'attempt', 0, 'deliveries', 0, 'previewVersion', 0,
  'owner', owner, 'dayKey', limits[3], 'weekKey', limits[5], 'startTime', ARGV[3], 'queuedAt', ARGV[3], unpack(ARGV, 13))
redis.call('ZADD', 'dr:open', now, id)
redis.call('ZADD', 'dr:open:' .. owner, now, id)
redis.call('ZADD', 'dr:jobs:' .. owner, now, id)
if idempotency ~= '' then redis.call('SET', idempotency, id .. digest, 'EX', IDEMPOTENCY_S) end
count(id, 'QUEUED', 1)
append(id, now, 'queued')
offer(id)
return created()
