-- The begin and the end of attempts, and the ends of jobs. stores/redis/scripts.py puts this file after turns.lua.

local IDEMPOTENCY_TTL_S = 86400
local CLAIM_TTL_MS = 60000
-- Longer than the usage of keys is shown: 30 days and 12 weeks.
local DAY_COUNTER_TTL_S, WEEK_COUNTER_TTL_S = 35 * 86400, 14 * 604800
local FAILURES_TO_OPEN, FIRST_RETRY_DELAY_MS, MAX_RETRY_DELAY_MS = 5, 30000, 600000
local NEWEST_RUN_WEIGHT = 0.2

local function observe(name, seconds)
  local bounds = name == 'pickup' and {0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800}
    or {0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 30, 60, 120, 300}
  local histogram = 'dr:histogram:' .. name
  local bucket = 'inf'
  for _, bound in ipairs(bounds) do
    if seconds <= bound then bucket = tostring(bound) break end
  end
  redis.call('HINCRBY', histogram, bucket, 1)
  redis.call('HINCRBYFLOAT', histogram, 'sum', tostring(seconds))
end

local function close_circuit(site)
  redis.call('HDEL', 'dr:site:' .. site, 'failures', 'openedAt', 'retryAt', 'delay', 'canary', 'code', 'error')
  redis.call('SREM', 'dr:circuits', site)
end

-- Circuit breaker: what the end of an attempt says about its site. Five failures ('broken') in a row open the circuit,
-- one 'closed' (login, robots.txt, ...) does so at once, 'works' closes it.
local function record_site_result(job, effect, now, code, message)
  local site = 'dr:site:' .. job.site
  if effect == 'works' then
    if redis.call('HEXISTS', site, 'failures') == 1 then close_circuit(job.site) end
  elseif effect == 'broken' or effect == 'closed' then
    local failures = redis.call('HINCRBY', site, 'failures', 1)
    local fields = redis.call('HMGET', site, 'retryAt', 'canary', 'delay')
    local retry_at, canary = fields[1], fields[2]
    -- Jobs that were running when the circuit opened are no test of it.
    if retry_at and canary ~= job.id then return end
    if not retry_at and effect == 'broken' and failures < FAILURES_TO_OPEN then return end
    local delay = retry_at and math.min(2 * tonumber(fields[3]), MAX_RETRY_DELAY_MS) or FIRST_RETRY_DELAY_MS
    if not retry_at then redis.call('HSET', site, 'openedAt', digits(now)) end
    redis.call('HSET', site, 'retryAt', digits(now + delay), 'delay', delay, 'code', code, 'error', message)
    redis.call('HDEL', site, 'canary')
    redis.call('SADD', 'dr:circuits', job.site)
  end
end

local function site_effect(code)
  local class = cjson.decode(ERRORS)[code]
  return class and class.site_effect
end

-- A run that has ended with its pictures closes the circuit, and counts towards the mean.
local function record_success(job, now)
  local site, run_ms = 'dr:site:' .. job.site, now - tonumber(job.startedAt)
  local known = redis.call('HMGET', site, 'failures', 'runMs')
  if known[1] then close_circuit(job.site) end
  local mean = tonumber(known[2] or run_ms)
  redis.call('HSET', site, 'runMs', digits(mean + NEWEST_RUN_WEIGHT * (run_ms - mean)))
end

-- The jobs of each worker, so that only those of dead ones are looked at.
local function hold(job, worker)
  redis.call('SADD', 'dr:holders', worker)
  redis.call('SADD', 'dr:held:' .. worker, job.id)
end

local function grant_lease(job, until_ms)
  extend_lease(job, until_ms)
  redis.call('SADD', 'dr:running:' .. job.owner, job.id)
  hold(job, job.leaseOwner)
end

local function drop_lease(job)
  redis.call('ZREM', 'dr:leases', job.id)
  redis.call('ZREM', 'dr:leases:' .. job.site, job.id)
  end_rest(job.site)
  if redis.call('SREM', 'dr:running:' .. job.owner, job.id) == 1 and redis.call('EXISTS', 'dr:most:' .. job.owner) == 1 then
    refresh_owner(job.owner)
  end
  if job.leaseOwner then redis.call('SREM', 'dr:held:' .. job.leaseOwner, job.id) end
  drop(job, 'leaseOwner', 'leaseUntil', 'claimToken')
end

-- The only way to a final state. data: the event's; fields: name, value, ... for the hash.
local function finish(job, now, state, ttl_s, kind, data, fields)
  local id, site, owner, code, was_waiting = job.id, job.site, job.owner, '', job.state == 'QUEUED'
  set(job, 'endedBy', job.claimToken or '')
  set_state(job, state)
  for i = 1, #fields, 2 do set(job, fields[i], fields[i + 1]) end
  local started = tonumber(job.startedAt)
  if job.claimToken then drop_lease(job) end
  redis.call('ZREM', 'dr:open', id)
  redis.call('ZREM', 'dr:open:' .. owner, id)
  if was_waiting then make_unclaimable(job) end
  set(job, 'finishedAt', now)
  set(job, 'expiresAt', now + ttl_s * 1000)
  append_event(job, now, kind, data)
  if state == 'FAILED' then
    code = job.errorCode
    delete_images(job, now)
    redis.call('DEL', key(id, 'preview'))
    -- Failed jobs do not count towards the quota of the day and week in which they were accepted.
    for _, counter in pairs({job.dayKey or '', job.weekKey or ''}) do
      if counter ~= '' and (tonumber(redis.call('GET', counter)) or 0) > 0 then redis.call('DECR', counter) end
    end
  end
  save_job(job)
  redis.call('HINCRBY', 'dr:ended', site .. '|' .. state .. '|' .. code, 1)
  if started then observe('run', (now - started) / 1000) end
  set_media_expiry(job, now + ttl_s * 1000)
  local parts = {'job', 'events', 'preview'}
  -- Reports belong to attempts that have failed.
  if state == 'FAILED' or tonumber(job.attempt) > 1 then parts[4], parts[5] = 'failure', 'trace' end
  if job.pictures and not job.media then
    parts[#parts + 1] = 'image.jpg'
    for number = 1, tonumber(job.pictures) do parts[#parts + 1] = image_part(number) end
  end
  for _, part in ipairs(parts) do redis.call('EXPIRE', key(id, part), ttl_s) end
end

-- message: '' for the default message of the code.
local function fail_job(job, now, ttl_s, code, message)
  local class = cjson.decode(ERRORS)[code]
  if message == '' then message = class.message end
  finish(job, now, 'FAILED', ttl_s, 'failed', cjson.encode({code = code, message = message}),
    {'errorCode', code, 'error', message, 'hint', class.hint, 'retryable', class.retryable})
end

-- End an attempt without a result: back to the queue at the due time, or FAILED if the job's cancellation was
-- requested.
local function return_to_queue(job, now, due, ttl_s, data, requeued)
  if job.cancelRequestedAt then return fail_job(job, now, ttl_s, 'cancelled', '') end
  set_state(job, 'QUEUED')
  drop_lease(job)
  delete_images(job, now)
  redis.call('DEL', key(job.id, 'preview'))
  drop(job, 'startedAt')
  redis.call('HDEL', key(job.id, 'job'), 'progress')
  set(job, 'previewVersion', 0)
  set(job, 'queuedAt', due)
  if due > now then redis.call('ZADD', 'dr:due', due, job.id) else make_claimable(job, requeued) end
  append_event(job, now, 'retried', cjson.encode(data))
  save_job(job)
end
