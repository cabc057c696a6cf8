-- Accept a job: write its record, its first event and its index entries; or report the limit that forbids it.
-- args: id, owner, site, priority, limits (see limit_reached), room (how many jobs the limits have to allow:
--       this one and those that its request creates next), retention_ms (of the lists of jobs); optional:
--       max_running (jobs of the owner that may run at once), idempotency_key, digest (of the request), ticket (a
--       wakeup: database, queue, messages, id, message, bell, heartbeats)
-- ARGV[2] and further: name, value, ... of the fields that hold the request
-- Returns {'created', its startTime, whether the ticket was sent (0 or 1), its queue_estimate...} | {'full'}
--         | {'queued'} | {'daily'} | {'weekly'} | {'replayed', id} | {'mismatch', id}.
local id, owner, site, now, limits = args.id, args.owner, args.site, now_ms(), args.limits

local function created(state, start_time)
  local score = job_ready_score(start_time, args.priority)
  return {'created', start_time, 0, unpack(queue_estimate(id, state, site, owner, score), 1, 7)}
end

-- Write a message as ops/infra/broker does, in the queue's database, which then stays selected until the script ends.
local function send_ticket(ticket)
  if redis.pcall('SELECT', ticket.database).err then return 0 end
  redis.call('HSET', ticket.messages, ticket.id, ticket.message)
  redis.call('RPUSH', ticket.queue, ticket.id)
  ring(ticket.bell, ticket.heartbeats)
  return 1
end

-- Ids are random and used once: an existing one was created by this very call, whose first answer was lost.
local state = get(id, 'state')
if state then return created(state, get(id, 'startTime')) end
local previous = args.idempotency_key and redis.call('GET', args.idempotency_key)
if previous then return {previous:sub(33) == args.digest and 'replayed' or 'mismatch', previous:sub(1, 32)} end
-- Also of a job that is refused: those that wait already may start under the present limit.
limit_running(owner, args.max_running and tostring(args.max_running) or false)
local limit = limit_reached(owner, limits, args.room)
if limit then return {limit} end

for counter, ttl_s in pairs({[limits.day_key] = DAY_COUNTER_TTL_S, [limits.week_key] = WEEK_COUNTER_TTL_S}) do
  if redis.call('INCR', counter) == 1 then redis.call('EXPIRE', counter, ttl_s) end
end
local job = {id = id, owner = owner, site = site, priority = args.priority, seq = 0, changed = {unpack(ARGV, 2)},
  dropped = {}}
for i = 2, #ARGV, 2 do if ARGV[i] == 'webhook' then job.webhook = ARGV[i + 1] end end
for name, value in pairs({state = 'QUEUED', attempt = 0, deliveries = 0, previewVersion = 0, owner = owner, site = site,
  dayKey = limits.day_key, weekKey = limits.week_key, startTime = now, queuedAt = now}) do set(job, name, value) end
redis.call('ZADD', 'dr:open', now, id)
redis.call('ZADD', 'dr:open:' .. owner, now, id)
-- The lists keep expired jobs for a while. Each owner's is trimmed here; the clock deletes those of owners who have
-- left, which "dr:owners" finds.
redis.call('ZADD', 'dr:jobs:' .. owner, now, id)
redis.call('ZREMRANGEBYSCORE', 'dr:jobs:' .. owner, '-inf', digits(now - args.retention_ms))
redis.call('ZADD', 'dr:owners', now, owner)
redis.call('ZADD', 'dr:jobs', now, id)
if args.idempotency_key then redis.call('SET', args.idempotency_key, id .. args.digest, 'EX', IDEMPOTENCY_TTL_S) end
count_state(site, 'QUEUED', 1)
append_event(job, now, 'queued')
save_job(job)
make_claimable(job)
local answer = created('QUEUED', job.startTime)
if args.ticket then answer[3] = send_ticket(args.ticket) end
return answer
