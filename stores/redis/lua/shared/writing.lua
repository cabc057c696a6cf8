-- What changes. Put between reading.lua and every script but those that only read (every line here costs each call some
-- time), after tables that stores/redis/scripts.py makes from Python's: ALLOWED[from][to] from schemas/jobs/lifecycle.py, and ERRORS,
-- JSON that holds [code].message, .hint, .retryable and .verdict (on the site), from schemas/errors.py.

local GONE_S = 604800
local IDEMPOTENCY_S = 86400
local CLAIM_KEPT_MS = 60000
local FAILURES_TO_OPEN, FIRST_DELAY_MS, LONGEST_DELAY_MS = 5, 30000, 600000
local WEIGHT_OF_NEWEST = 0.2
local EVENTS_KEPT = 2000
local FEED_KEPT, FEED_KEPT_S = 2000, 86400
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

local function log(id, seq, kind, time, data)
  redis.call('XADD', key(id, 'events'), 'MAXLEN', '~', EVENTS_KEPT, seq .. '-0', 'type', kind, 'time', time, 'data', data)
end

-- A change that clients can see: a new number, a later modification time, a line in the job's log and in its owner's
-- feed, a word to watchers.
local function append(id, now, kind, data)
  local job = key(id, 'job')
  local seq = redis.call('HINCRBY', job, 'seq', 1)
  local known = redis.call('HMGET', job, 'lastModifiedDate', 'owner', 'webhook')
  local modified = math.max(now, (tonumber(known[1]) or 0) + 1)
  local time = string.format('%.0f', modified)
  redis.call('HSET', job, 'lastModifiedDate', time)
  -- A log takes 4 kB from its first line on, so a job that only waits has none: its first event is written with the second.
  if seq == 2 then log(id, 1, 'queued', redis.call('HGET', job, 'startTime'), '{}') end
  if seq > 1 then log(id, seq, kind, time, data or '{}') end
  local feed = 'dr:feed:' .. known[2]
  redis.call('XADD', feed, 'MAXLEN', '~', FEED_KEPT, '*', 'job', id, 'seq', seq, 'type', kind, 'time', time, 'data', data or '{}')
  redis.call('EXPIRE', feed, FEED_KEPT_S)
  if kind == 'completed' or kind == 'failed' or redis.call('SISMEMBER', 'dr:subscribed', known[2] .. ' ' .. kind) == 1 then
    redis.call('XADD', 'dr:outbox', '*', 'job', id, 'owner', known[2], 'seq', seq, 'type', kind, 'time', time, 'data', data or '{}',
      'webhook', known[3] or '')
  end
  redis.call('PUBLISH', 'dr:changes', id .. ' ' .. seq .. ' ' .. known[2])
  return seq
end

local function count(id, state, by)
  redis.call('HINCRBY', 'dr:counts', (get(id, 'site') or '') .. '|' .. state, by)
end

local function move(id, to)
  local from = get(id, 'state')
  if not (ALLOWED[from] and ALLOWED[from][to]) then
    error('transition ' .. tostring(from) .. ' to ' .. to .. ' is not in the table')
  end
  count(id, from, -1)
  if next(ALLOWED[to]) then count(id, to, 1) end
  set(id, 'state', to)
end

-- Whether the attempt that asks, by the token of its claim, still holds the job.
local function holds(id, claim)
  return running(get(id, 'state')) and get(id, 'claimToken') == claim
end

-- An owner who has nothing to claim yet comes after all who have.
local function turn_of(owner)
  for _, site in ipairs(sites()) do
    local turn = redis.call('ZSCORE', 'dr:turns:' .. site, owner)
    if turn then return turn end
  end
  return redis.call('INCR', 'dr:turn')
end

local function give_turn(owner, turn)
  for _, site in ipairs(sites()) do redis.call('ZADD', 'dr:turns:' .. site, 'XX', turn, owner) end
end

-- From now on the job may be claimed.
local function offer(id, first)
  local about = redis.call('HMGET', key(id, 'job'), 'site', 'owner')
  local site, owner = about[1], about[2]
  redis.call('SADD', 'dr:sites', site)
  redis.call('ZADD', ready_key(site, owner), rank(id, first), id)
  redis.call('ZADD', 'dr:turns:' .. site, 'NX', turn_of(owner), owner)
  if first then give_turn(owner, 0) end
end

local function drop_turn(site, owner)
  if redis.call('EXISTS', ready_key(site, owner)) == 0 then redis.call('ZREM', 'dr:turns:' .. site, owner) end
end

-- From now on the job may not be claimed.
local function withdraw(id)
  local about = redis.call('HMGET', key(id, 'job'), 'site', 'owner')
  redis.call('ZREM', 'dr:due', id)
  if redis.call('ZREM', ready_key(about[1], about[2]), id) == 1 then drop_turn(about[1], about[2]) end
end

-- How many more jobs of an owner may start now.
local function room_of(owner)
  local most = redis.call('GET', 'dr:most:' .. owner)
  return most and math.max(0, tonumber(most) - redis.call('SCARD', 'dr:running:' .. owner)) or math.huge
end

-- Where the starts of a site on the day (UTC) of now are counted.
local function day_key(site, now) return 'dr:started:' .. site .. ':' .. math.floor(now / 86400000) end

-- Why no job of the site may start now: a code, or nothing. Of most at once and daily, 0 means no limit.
local function blocked(site, most, daily, now)
  local known = redis.call('HMGET', 'dr:site:' .. site, 'retryAt', 'canary', 'nextAt')
  if known[1] and now < tonumber(known[1]) then return 'circuit_open' end
  if known[1] and known[2] and redis.call('ZSCORE', 'dr:leases', known[2]) then return 'circuit_open' end
  if most > 0 and redis.call('ZCARD', 'dr:leases:' .. site) >= most then return 'concurrency' end
  if known[3] and now < tonumber(known[3]) then return 'interval' end
  if daily > 0 and tonumber(redis.call('GET', day_key(site, now)) or 0) >= daily then return 'daily' end
end

-- What an attempt's end says about its site: five ends in a row that blame it open its circuit,
-- and one that says that it is closed to us.
local function judge(id, verdict, now, code, message)
  local site = 'dr:site:' .. get(id, 'site')
  if verdict == 'works' then
    redis.call('HDEL', site, 'failures', 'openedAt', 'retryAt', 'delay', 'canary', 'code', 'error')
  elseif verdict == 'broken' or verdict == 'closed' then
    local failures = redis.call('HINCRBY', site, 'failures', 1)
    local known = redis.call('HMGET', site, 'retryAt', 'canary', 'delay')
    if known[1] and known[2] ~= id then return end
    if not known[1] and verdict == 'broken' and failures < FAILURES_TO_OPEN then return end
    local delay = known[1] and math.min(2 * tonumber(known[3]), LONGEST_DELAY_MS) or FIRST_DELAY_MS
    if not known[1] then redis.call('HSET', site, 'openedAt', string.format('%.0f', now)) end
    redis.call('HSET', site, 'retryAt', string.format('%.0f', now + delay), 'delay', delay, 'code', code, 'error', message)
    redis.call('HDEL', site, 'canary')
  end
end

local function verdict_of(code)
  local known = cjson.decode(ERRORS)[code]
  return known and known.verdict
end

local function learn_run_time(id, now)
  local site, run = 'dr:site:' .. get(id, 'site'), now - tonumber(get(id, 'startedAt'))
  local mean = tonumber(redis.call('HGET', site, 'runMs') or run)
  redis.call('HSET', site, 'runMs', string.format('%.0f', mean + WEIGHT_OF_NEWEST * (run - mean)))
end

local function forget_run(id)
  redis.call('ZREM', 'dr:leases', id)
  redis.call('ZREM', 'dr:leases:' .. get(id, 'site'), id)
  redis.call('SREM', 'dr:running:' .. get(id, 'owner'), id)
  redis.call('HDEL', key(id, 'job'), 'leaseOwner', 'leaseUntil', 'claimToken')
end

local function lease(id, until_ms)
  redis.call('ZADD', 'dr:leases', until_ms, id)
  redis.call('ZADD', 'dr:leases:' .. get(id, 'site'), until_ms, id)
  redis.call('SADD', 'dr:running:' .. get(id, 'owner'), id)
  set(id, 'leaseUntil', string.format('%.0f', until_ms))
end

-- The name of a job's n-th picture.
local function picture(number) return number == 1 and 'image' or 'image.' .. number end

local function forget_pictures(id)
  redis.call('DEL', key(id, 'image.jpg'))
  for number = 1, tonumber(get(id, 'pictures') or 0) do redis.call('DEL', key(id, picture(number))) end
end

local function requeue(id, now, due, first)
  move(id, 'QUEUED')
  forget_run(id)
  forget_pictures(id)
  redis.call('DEL', key(id, 'preview'))
  redis.call('HDEL', key(id, 'job'), 'progress', 'startedAt')
  set(id, 'previewVersion', 0, 'queuedAt', string.format('%.0f', due))
  if due > now then redis.call('ZADD', 'dr:due', due, id) else offer(id, first) end
end

-- The one way to a final state. data: the event's; fields: name, value, ... for the hash.
local function finish(id, now, state, ttl_s, kind, data, fields)
  local owner, code = get(id, 'owner'), ''
  set(id, 'endedBy', get(id, 'claimToken') or '')
  move(id, state)
  forget_run(id)
  redis.call('ZREM', 'dr:open', id)
  redis.call('ZREM', 'dr:open:' .. owner, id)
  withdraw(id)
  set(id, 'finishedAt', string.format('%.0f', now), 'expiresAt', string.format('%.0f', now + ttl_s * 1000), unpack(fields))
  append(id, now, kind, data)
  if state == 'FAILED' then
    code = get(id, 'errorCode')
    forget_pictures(id)
    redis.call('DEL', key(id, 'preview'))
    for _, usage in ipairs(redis.call('HMGET', key(id, 'job'), 'dayKey', 'weekKey')) do
      if usage and (tonumber(redis.call('GET', usage)) or 0) > 0 then redis.call('DECR', usage) end
    end
  end
  redis.call('HINCRBY', 'dr:ended', get(id, 'site') .. '|' .. state .. '|' .. code, 1)
  local started = tonumber(get(id, 'startedAt') or '')
  if started then observe('run', (now - started) / 1000) end
  redis.call('SET', key(id, 'gone'), '1', 'EX', ttl_s + GONE_S)
  for number = 1, tonumber(get(id, 'pictures') or 0) do redis.call('EXPIRE', key(id, picture(number)), ttl_s) end
  for _, part in ipairs({'job', 'events', 'preview', 'image.jpg', 'failure', 'trace'}) do redis.call('EXPIRE', key(id, part), ttl_s) end
end

-- message: '' for the code's own sentence.
local function fail(id, now, ttl_s, code, message)
  local known = cjson.decode(ERRORS)[code]
  if message == '' then message = known.message end
  finish(id, now, 'FAILED', ttl_s, 'failed', cjson.encode({code = code, message = message}),
    {'errorCode', code, 'error', message, 'hint', known.hint, 'retryable', known.retryable})
end

-- Back to the queue, or to its end if somebody asked for that meanwhile.
local function release(id, now, due, ttl_s, data, first)
  if get(id, 'cancelRequestedAt') then return fail(id, now, ttl_s, 'cancelled', '') end
  requeue(id, now, due, first)
  append(id, now, 'retried', cjson.encode(data))
end
