-- Functions that write. stores/redis/scripts.py puts this file between reading.lua and every script that writes
-- (read-only scripts are spared the cost of its lines), after two tables made from Python's: ALLOWED[from][to] from
-- schemas/jobs/lifecycle.py, and ERRORS, JSON that holds [code].message, .hint, .retryable and .site_effect, from
-- schemas/errors.py.

local GONE_TTL_S = 604800
local IDEMPOTENCY_TTL_S = 86400
local CLAIM_TTL_MS = 60000
-- Longer than the usage of keys is shown: 30 days and 12 weeks.
local DAY_COUNTER_TTL_S, WEEK_COUNTER_TTL_S = 35 * 86400, 14 * 604800
local FAILURES_TO_OPEN, FIRST_RETRY_DELAY_MS, MAX_RETRY_DELAY_MS = 5, 30000, 600000
local NEWEST_RUN_WEIGHT = 0.2
local MAX_EVENTS = 2000
local MAX_FEED_EVENTS, FEED_TTL_S = 2000, 86400
local BUCKETS = {
  pickup = {0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800},
  run = {0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 30, 60, 120, 300},
}

local function set(id, ...) redis.call('HSET', key(id, 'job'), ...) end

local function observe(name, seconds)
  local histogram = 'dr:histogram:' .. name
  local bucket = 'inf'
  for _, bound in ipairs(BUCKETS[name]) do
    if seconds <= bound then bucket = tostring(bound) break end
  end
  redis.call('HINCRBY', histogram, bucket, 1)
  redis.call('HINCRBYFLOAT', histogram, 'sum', tostring(seconds))
end

local function add_to_log(id, seq, kind, time, data)
  redis.call('XADD', key(id, 'events'), 'MAXLEN', '~', MAX_EVENTS, seq .. '-0', 'type', kind, 'time', time,
    'data', data)
end

-- Record a change that clients can see: next sequence number, strictly later modification time, an entry in the job's
-- log and in its owner's feed, an outbox entry if a webhook may want it, and a message to watchers. Returns the
-- sequence number.
local function append_event(id, now, kind, data)
  local job = key(id, 'job')
  local seq = redis.call('HINCRBY', job, 'seq', 1)
  local fields = redis.call('HMGET', job, 'lastModifiedDate', 'owner', 'webhook')
  local owner = fields[2]
  local time = digits(math.max(now, (tonumber(fields[1]) or 0) + 1))
  data = data or '{}'
  redis.call('HSET', job, 'lastModifiedDate', time)
  -- A stream takes 4 kB from its first entry on, so a job that only waits has none: event 1 is written together with
  -- event 2.
  if seq == 2 then add_to_log(id, 1, 'queued', redis.call('HGET', job, 'startTime'), '{}') end
  if seq > 1 then add_to_log(id, seq, kind, time, data) end
  local feed = 'dr:feed:' .. owner
  redis.call('XADD', feed, 'MAXLEN', '~', MAX_FEED_EVENTS, '*', 'job', id, 'seq', seq, 'type', kind, 'time', time,
    'data', data)
  redis.call('EXPIRE', feed, FEED_TTL_S)
  if kind == 'completed' or kind == 'failed' or redis.call('SISMEMBER', 'dr:subscribed', owner .. ' ' .. kind) == 1 then
    redis.call('XADD', 'dr:outbox', '*', 'job', id, 'owner', owner, 'seq', seq, 'type', kind, 'time', time,
      'data', data, 'webhook', fields[3] or '')
  end
  redis.call('PUBLISH', 'dr:changes', id .. ' ' .. seq .. ' ' .. owner)
  return seq
end

local function count_state(site, state, by) redis.call('HINCRBY', 'dr:counts', site .. '|' .. state, by) end

local function set_state(id, to)
  local fields = redis.call('HMGET', key(id, 'job'), 'state', 'site')
  local from, site = fields[1], fields[2] or ''
  if not (ALLOWED[from] and ALLOWED[from][to]) then
    error('transition ' .. tostring(from) .. ' to ' .. to .. ' is not in the table')
  end
  count_state(site, from, -1)
  if next(ALLOWED[to]) then count_state(site, to, 1) end
  set(id, 'state', to)
end

-- Fencing: whether the attempt with this claim token still holds the job.
local function holds_lease(id, claim_token)
  local fields = redis.call('HMGET', key(id, 'job'), 'state', 'claimToken')
  return is_running(fields[1]) and fields[2] == claim_token
end

-- An owner without claimable jobs joins behind all others.
local function round_robin_position(owner)
  for _, site in ipairs(sites()) do
    local position = redis.call('ZSCORE', 'dr:turns:' .. site, owner)
    if position then return position end
  end
  return redis.call('INCR', 'dr:turn')
end

local function set_round_robin_position(owner, position)
  for _, site in ipairs(sites()) do redis.call('ZADD', 'dr:turns:' .. site, 'XX', position, owner) end
end

local function make_claimable(id, requeued)
  local fields = redis.call('HMGET', key(id, 'job'), 'site', 'owner')
  local site, owner = fields[1], fields[2]
  redis.call('SADD', 'dr:sites', site)
  redis.call('ZADD', ready_key(site, owner), job_ready_score(id, requeued), id)
  redis.call('ZADD', 'dr:turns:' .. site, 'NX', round_robin_position(owner), owner)
  if requeued then set_round_robin_position(owner, 0) end
end

local function drop_round_robin_position(site, owner)
  if redis.call('EXISTS', ready_key(site, owner)) == 0 then redis.call('ZREM', 'dr:turns:' .. site, owner) end
end

local function make_unclaimable(id)
  local fields = redis.call('HMGET', key(id, 'job'), 'site', 'owner')
  redis.call('ZREM', 'dr:due', id)
  local site, owner = fields[1], fields[2]
  if redis.call('ZREM', ready_key(site, owner), id) == 1 then drop_round_robin_position(site, owner) end
end

-- How many more jobs of an owner may start now.
local function remaining_concurrency(owner)
  local limit = redis.call('GET', 'dr:most:' .. owner)
  return limit and math.max(0, tonumber(limit) - redis.call('SCARD', 'dr:running:' .. owner)) or math.huge
end

-- The counter of a site's starts on the day (UTC) of now.
local function starts_key(site, now) return 'dr:started:' .. site .. ':' .. math.floor(now / 86400000) end

-- Why no job of the site may start now: a code, or nil. site: name, concurrency and daily; 0 means no limit.
local function start_blocked_by(site, now)
  local fields = redis.call('HMGET', 'dr:site:' .. site.name, 'retryAt', 'canary', 'nextAt')
  local retry_at, canary, next_at = fields[1], fields[2], fields[3]
  if retry_at and now < tonumber(retry_at) then return 'circuit_open' end
  if retry_at and canary and redis.call('ZSCORE', 'dr:leases', canary) then return 'circuit_open' end
  if site.concurrency > 0 and redis.call('ZCARD', 'dr:leases:' .. site.name) >= site.concurrency then
    return 'concurrency'
  end
  if next_at and now < tonumber(next_at) then return 'interval' end
  if site.daily > 0 and tonumber(redis.call('GET', starts_key(site.name, now)) or 0) >= site.daily then
    return 'daily'
  end
end

-- Circuit breaker: what the end of an attempt says about its site. Five failures ('broken') in a row open the circuit,
-- one 'closed' (login, robots.txt, ...) does so at once, 'works' closes it.
local function record_site_result(id, effect, now, code, message)
  local site = 'dr:site:' .. get(id, 'site')
  if effect == 'works' then
    redis.call('HDEL', site, 'failures', 'openedAt', 'retryAt', 'delay', 'canary', 'code', 'error')
  elseif effect == 'broken' or effect == 'closed' then
    local failures = redis.call('HINCRBY', site, 'failures', 1)
    local fields = redis.call('HMGET', site, 'retryAt', 'canary', 'delay')
    local retry_at, canary = fields[1], fields[2]
    -- Jobs that were running when the circuit opened are no test of it.
    if retry_at and canary ~= id then return end
    if not retry_at and effect == 'broken' and failures < FAILURES_TO_OPEN then return end
    local delay = retry_at and math.min(2 * tonumber(fields[3]), MAX_RETRY_DELAY_MS) or FIRST_RETRY_DELAY_MS
    if not retry_at then redis.call('HSET', site, 'openedAt', digits(now)) end
    redis.call('HSET', site, 'retryAt', digits(now + delay), 'delay', delay, 'code', code, 'error', message)
    redis.call('HDEL', site, 'canary')
  end
end

local function site_effect(code)
  local class = cjson.decode(ERRORS)[code]
  return class and class.site_effect
end

local function update_mean_runtime(id, now)
  local site, run_ms = 'dr:site:' .. get(id, 'site'), now - tonumber(get(id, 'startedAt'))
  local mean = tonumber(redis.call('HGET', site, 'runMs') or run_ms)
  redis.call('HSET', site, 'runMs', digits(mean + NEWEST_RUN_WEIGHT * (run_ms - mean)))
end

local function grant_lease(id, until_ms)
  local fields = redis.call('HMGET', key(id, 'job'), 'site', 'owner')
  redis.call('ZADD', 'dr:leases', until_ms, id)
  redis.call('ZADD', 'dr:leases:' .. fields[1], until_ms, id)
  redis.call('SADD', 'dr:running:' .. fields[2], id)
  set(id, 'leaseUntil', digits(until_ms))
end

local function drop_lease(id)
  local fields = redis.call('HMGET', key(id, 'job'), 'site', 'owner')
  redis.call('ZREM', 'dr:leases', id)
  redis.call('ZREM', 'dr:leases:' .. fields[1], id)
  redis.call('SREM', 'dr:running:' .. fields[2], id)
  redis.call('HDEL', key(id, 'job'), 'leaseOwner', 'leaseUntil', 'claimToken')
end

-- The key part of a job's image by its number from 1.
local function image_part(number) return number == 1 and 'image' or 'image.' .. number end

local function delete_images(id)
  redis.call('DEL', key(id, 'image.jpg'))
  for number = 1, tonumber(get(id, 'pictures') or 0) do redis.call('DEL', key(id, image_part(number))) end
end

-- The only way to a final state. data: the event's; fields: name, value, ... for the hash.
local function finish(id, now, state, ttl_s, kind, data, fields)
  local owner, code = get(id, 'owner'), ''
  set(id, 'endedBy', get(id, 'claimToken') or '')
  set_state(id, state)
  drop_lease(id)
  redis.call('ZREM', 'dr:open', id)
  redis.call('ZREM', 'dr:open:' .. owner, id)
  make_unclaimable(id)
  set(id, 'finishedAt', digits(now), 'expiresAt', digits(now + ttl_s * 1000), unpack(fields))
  append_event(id, now, kind, data)
  if state == 'FAILED' then
    code = get(id, 'errorCode')
    delete_images(id)
    redis.call('DEL', key(id, 'preview'))
    -- Failed jobs do not count towards the quota of the day and week in which they were accepted.
    for _, counter in ipairs(redis.call('HMGET', key(id, 'job'), 'dayKey', 'weekKey')) do
      if counter and (tonumber(redis.call('GET', counter)) or 0) > 0 then redis.call('DECR', counter) end
    end
  end
  redis.call('HINCRBY', 'dr:ended', get(id, 'site') .. '|' .. state .. '|' .. code, 1)
  local started = tonumber(get(id, 'startedAt') or '')
  if started then observe('run', (now - started) / 1000) end
  redis.call('SET', key(id, 'gone'), '1', 'EX', ttl_s + GONE_TTL_S)
  for number = 1, tonumber(get(id, 'pictures') or 0) do redis.call('EXPIRE', key(id, image_part(number)), ttl_s) end
  for _, part in ipairs({'job', 'events', 'preview', 'image.jpg', 'failure', 'trace'}) do
    redis.call('EXPIRE', key(id, part), ttl_s)
  end
end

-- message: '' for the default message of the code.
local function fail_job(id, now, ttl_s, code, message)
  local class = cjson.decode(ERRORS)[code]
  if message == '' then message = class.message end
  finish(id, now, 'FAILED', ttl_s, 'failed', cjson.encode({code = code, message = message}),
    {'errorCode', code, 'error', message, 'hint', class.hint, 'retryable', class.retryable})
end

-- End an attempt without a result: back to the queue at the due time, or FAILED if the job's cancellation was
-- requested.
local function return_to_queue(id, now, due, ttl_s, data, requeued)
  if get(id, 'cancelRequestedAt') then return fail_job(id, now, ttl_s, 'cancelled', '') end
  set_state(id, 'QUEUED')
  drop_lease(id)
  delete_images(id)
  redis.call('DEL', key(id, 'preview'))
  redis.call('HDEL', key(id, 'job'), 'progress', 'startedAt')
  set(id, 'previewVersion', 0, 'queuedAt', digits(due))
  if due > now then redis.call('ZADD', 'dr:due', due, id) else make_claimable(id, requeued) end
  append_event(id, now, 'retried', cjson.encode(data))
end
