-- Accept a job: write its record, its first event and its index entries; or report the limit that forbids it.
-- args: id, owner, site, limits (see limit_reached); optional: max_running (jobs of the owner that may run at
--       once), idempotency_key, digest (of the request)
-- ARGV[2] and further: name, value, ... of the fields that hold the request
-- Returns {'created', its startTime, its queue_estimate...} | {'full'} | {'queued'} | {'daily'} | {'weekly'} | {'replayed', id}
--         | {'mismatch', id}.
local id, owner, site, now, limits = args.id, args.owner, args.site, now_ms(), args.limits

local function created(state) return {'created', get(id, 'startTime'), unpack(queue_estimate(id, state, site, owner), 1, 6)} end

-- Ids are random and used once: an existing one was created by this very call, whose first answer was lost.
local state = get(id, 'state')
if state then return created(state) end
local previous = args.idempotency_key and redis.call('GET', args.idempotency_key)
if previous then return {previous:sub(33) == args.digest and 'replayed' or 'mismatch', previous:sub(1, 32)} end
local limit = limit_reached(owner, limits)
if limit then return {limit} end

for counter, ttl_s in pairs({[limits.day_key] = DAY_COUNTER_TTL_S, [limits.week_key] = WEEK_COUNTER_TTL_S}) do
  redis.call('INCR', counter)
  redis.call('EXPIRE', counter, ttl_s)
end
if args.max_running then
  redis.call('SET', 'dr:most:' .. owner, args.max_running)
else
  redis.call('DEL', 'dr:most:' .. owner)
end
set(id, 'state', 'QUEUED', 'seq', 0, 'attempt', 0, 'deliveries', 0, 'previewVersion', 0, 'owner', owner, 'site', site,
  'dayKey', limits.day_key, 'weekKey', limits.week_key, 'startTime', digits(now), 'queuedAt', digits(now),
  unpack(ARGV, 2))
redis.call('ZADD', 'dr:open', now, id)
redis.call('ZADD', 'dr:open:' .. owner, now, id)
redis.call('ZADD', 'dr:jobs:' .. owner, now, id)
redis.call('ZADD', 'dr:jobs', now, id)
if args.idempotency_key then redis.call('SET', args.idempotency_key, id .. args.digest, 'EX', IDEMPOTENCY_TTL_S) end
count_state(site, 'QUEUED', 1)
append_event(id, now, 'queued')
make_claimable(id)
return created('QUEUED')
