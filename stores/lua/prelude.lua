-- Put before every script of this folder, after tables that stores/scripts.py makes from Python's:
-- FIELDS, the hash's field names from stores/records.py, ALLOWED[from][to] from schemas/lifecycle.py, and ERRORS, JSON that holds [code].message, .hint and .retryable,
-- from schemas/errors.py.
--
-- dr:{id}:job      hash   the job; the truth
-- dr:{id}:events   stream its log; the entry id is SEQ-0
-- dr:{id}:preview, dr:{id}:image, dr:{id}:image.FORMAT, dr:{id}:failure   bytes
-- dr:{id}:gone     marks that the job once was, long after the rest has expired
-- dr:open          zset   unfinished jobs by submission time
-- dr:open:OWNER    zset   the same, of one owner
-- dr:jobs:OWNER    zset   all jobs of one owner by submission time
-- dr:leases        zset   running jobs by the end of their lease
-- dr:outbox        zset   queued jobs that need a message, by the time it is due
-- dr:usage:OWNER:DAY  pictures accepted that day
-- dr:counts        hash   SITE|STATE -> open jobs now
-- dr:ended         hash   SITE|STATE|CODE -> jobs ended so far
-- dr:histogram:NAME   hash   bucket -> observations, plus sum
-- dr:changes       channel: "ID SEQ" after each event      dr:cancels  channel: ID

local GONE_S = 604800
local EVENTS_KEPT = 500
local BUCKETS = {
  pickup = {0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800},
  run = {0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 30, 60, 120, 300},
}

local function key(id, part) return 'dr:{' .. id .. '}:' .. part end

local function get(id, name) return redis.call('HGET', key(id, 'job'), name) end

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

-- A change that clients can see: a new number, a later modification time, a line in the log, a word to watchers.
local function append(id, now, kind, data)
  local job = key(id, 'job')
  local seq = redis.call('HINCRBY', job, 'seq', 1)
  local last = tonumber(redis.call('HGET', job, 'lastModifiedDate')) or 0
  local modified = math.max(now, last + 1)
  redis.call('HSET', job, 'lastModifiedDate', string.format('%.0f', modified))
  redis.call('XADD', key(id, 'events'), 'MAXLEN', '~', EVENTS_KEPT, seq .. '-0',
    'type', kind, 'time', string.format('%.0f', modified), 'data', data or '{}')
  redis.call('PUBLISH', 'dr:changes', id .. ' ' .. seq)
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

local function final(state) return state == 'COMPLETED' or state == 'FAILED' end

local function running(state) return state == 'STARTING' or state == 'PENDING' end

-- Whether the attempt that asks still holds the job.
local function holds(id, attempt)
  return running(get(id, 'state')) and get(id, 'attempt') == attempt
end

local function forget_run(id)
  redis.call('ZREM', 'dr:leases', id)
  redis.call('HDEL', key(id, 'job'), 'leaseOwner', 'leaseUntil')
end

local function requeue(id, due)
  move(id, 'QUEUED')
  forget_run(id)
  redis.call('DEL', key(id, 'preview'))
  redis.call('HDEL', key(id, 'job'), 'progress')
  set(id, 'previewVersion', 0, 'queuedAt', string.format('%.0f', due))
  redis.call('ZADD', 'dr:outbox', due, id)
end

-- The one way to a final state. data: the event's; fields: name, value, ... for the hash.
local function finish(id, now, state, ttl_s, kind, data, fields)
  local owner, code = get(id, 'owner'), ''
  move(id, state)
  forget_run(id)
  redis.call('ZREM', 'dr:open', id)
  redis.call('ZREM', 'dr:open:' .. owner, id)
  redis.call('ZREM', 'dr:outbox', id)
  set(id, 'finishedAt', string.format('%.0f', now), 'expiresAt', string.format('%.0f', now + ttl_s * 1000), unpack(fields))
  append(id, now, kind, data)
  if state == 'FAILED' then
    code = get(id, 'errorCode')
    redis.call('DEL', key(id, 'preview'), key(id, 'image'), key(id, 'image.jpg'))
    local usage = get(id, 'usageKey')
    if usage and (tonumber(redis.call('GET', usage)) or 0) > 0 then redis.call('DECR', usage) end
  end
  redis.call('HINCRBY', 'dr:ended', get(id, 'site') .. '|' .. state .. '|' .. code, 1)
  local started = tonumber(get(id, 'startedAt') or '')
  if started then observe('run', (now - started) / 1000) end
  redis.call('SET', key(id, 'gone'), '1', 'EX', ttl_s + GONE_S)
  for _, part in ipairs({'job', 'events', 'preview', 'image', 'image.jpg', 'failure'}) do
    redis.call('EXPIRE', key(id, part), ttl_s)
  end
end

-- message: '' for the code's own sentence.
local function fail(id, now, ttl_s, code, message)
  local known = cjson.decode(ERRORS)[code]
  if message == '' then message = known.message end
  finish(id, now, 'FAILED', ttl_s, 'failed', cjson.encode({code = code, message = message}),
    {'errorCode', code, 'error', message, 'hint', known.hint, 'retryable', known.retryable})
end

-- Back to the queue, or to its end if somebody asked for that meanwhile.
local function release(id, now, due, ttl_s, data)
  if get(id, 'cancelRequestedAt') then return fail(id, now, ttl_s, 'cancelled', '') end
  requeue(id, due)
  append(id, now, 'retried', cjson.encode(data))
end
