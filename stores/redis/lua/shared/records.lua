-- Functions that change a job's record and tell of it. stores/redis/scripts.py puts this file after reading.lua in every
-- script that changes jobs, after two tables made from Python's: ALLOWED[from][to] from schemas/jobs/lifecycle.py, and
-- ERRORS, JSON that holds [code].message, .hint, .retryable and .site_effect, from schemas/errors.
--
-- A script loads a job's fields once, changes them in its table and saves them at its end: commands are what a script
-- costs.

local MAX_EVENTS = 2000
local MAX_FEED_EVENTS, FEED_TTL_S = 2000, 86400
local LOADED = {'state', 'claimToken', 'owner', 'seq', 'lastModifiedDate', 'startTime', 'webhook', 'site',
  'leaseUntil', 'cancelRequestedAt', 'pictures', 'media', 'priority', 'attempt', 'deliveries', 'retries', 'queuedAt',
  'startedAt', 'leaseOwner', 'dayKey', 'weekKey', 'endedBy'}
-- So many of them are all that an event of a running job needs, and that a change of its lease or state needs.
local FOR_EVENTS, FOR_LEASE = 7, 10

-- The job's LOADED fields by name (the first of them, if a number is given), absent ones nil, with its id and the changes
-- that save_job writes.
local function load_job(id, number)
  local job = {id = id, changed = {}, dropped = {}}
  local values = redis.call('HMGET', key(id, 'job'), unpack(LOADED, 1, number or #LOADED))
  for i, value in ipairs(values) do job[LOADED[i]] = value or nil end
  return job
end

-- The same with all fields.
local function load_whole_job(id)
  local job, values = {id = id, changed = {}, dropped = {}}, redis.call('HGETALL', key(id, 'job'))
  for i = 1, #values, 2 do job[values[i]] = values[i + 1] end
  return job
end

-- A field to be written; its value may be a number.
local function set(job, name, value)
  value = type(value) == 'number' and digits(value) or value
  job[name], job.changed[#job.changed + 1], job.changed[#job.changed + 2] = value, name, value
end

local function drop(job, ...)
  for _, name in ipairs({...}) do
    if job[name] then job[name], job.dropped[#job.dropped + 1] = nil, name end
  end
end

local function save_job(job)
  if job.dropped[1] then redis.call('HDEL', key(job.id, 'job'), unpack(job.dropped)) end
  if job.changed[1] then redis.call('HSET', key(job.id, 'job'), unpack(job.changed)) end
  job.changed, job.dropped = {}, {}
end

local function add_to_log(id, seq, kind, time, data)
  redis.call('XADD', key(id, 'events'), 'MAXLEN', '~', MAX_EVENTS, seq .. '-0', 'type', kind, 'time', time,
    'data', data)
end

-- Events after which the positions and estimates of other jobs may be different.
local QUEUE_EVENTS = {queued = true, starting = true, retried = true, completed = true, failed = true}

-- Tell watchers of a change; seq is 0 for one that is no event, and id and owner are '' if it concerns the queue alone.
local function publish_change(id, seq, owner, moves_queue)
  redis.call('PUBLISH', 'dr:changes', id .. ' ' .. (moves_queue and '+' or '') .. seq .. ' ' .. owner)
end

-- Record a change that clients can see: next sequence number, strictly later modification time, an entry in the job's
-- log and in its owner's feed, an outbox entry if a webhook may want it, and a message to watchers unless another event
-- follows at once. Returns the sequence number.
local function append_event(job, now, kind, data, is_followed)
  local id, owner, seq = job.id, job.owner, tonumber(job.seq) + 1
  local time = digits(math.max(now, (tonumber(job.lastModifiedDate) or 0) + 1))
  local is_end = kind == 'completed' or kind == 'failed'
  data = data or '{}'
  set(job, 'seq', seq)
  set(job, 'lastModifiedDate', time)
  -- A stream takes 4 kB from its first entry on, so a job that only waits has none: event 1 is written together with
  -- event 2.
  if seq == 2 then add_to_log(id, 1, 'queued', job.startTime, '{}') end
  if seq > 1 then add_to_log(id, seq, kind, time, data) end
  local feed = 'dr:feed:' .. owner
  redis.call('XADD', feed, 'MAXLEN', '~', MAX_FEED_EVENTS, '*', 'job', id, 'seq', seq, 'type', kind, 'time', time,
    'data', data)
  if is_end or seq == 1 then redis.call('EXPIRE', feed, FEED_TTL_S) end
  if is_end or redis.call('SISMEMBER', 'dr:subscribed', owner .. ' ' .. kind) == 1 then
    redis.call('XADD', 'dr:outbox', '*', 'job', id, 'owner', owner, 'seq', seq, 'type', kind, 'time', time,
      'data', data, 'webhook', job.webhook or '')
  end
  if not is_followed then publish_change(id, seq, owner, QUEUE_EVENTS[kind]) end
  return seq
end

local function count_state(site, state, by) redis.call('HINCRBY', 'dr:counts', site .. '|' .. state, by) end

local function set_state(job, to)
  local from, site = job.state, job.site or ''
  if not (ALLOWED[from] and ALLOWED[from][to]) then
    error('transition ' .. tostring(from) .. ' to ' .. to .. ' is not in the table')
  end
  count_state(site, from, -1)
  if next(ALLOWED[to]) then count_state(site, to, 1) end
  set(job, 'state', to)
end

-- Fencing: whether the attempt with this claim token still holds the job.
local function holds_lease(job, claim_token)
  return is_running(job.state) and job.claimToken == claim_token
end

local function extend_lease(job, until_ms)
  redis.call('ZADD', 'dr:leases', until_ms, job.id)
  redis.call('ZADD', 'dr:leases:' .. job.site, until_ms, job.id)
  set(job, 'leaseUntil', until_ms)
end

-- Store bytes that a crash of Redis may take: replicas get them, the append-only file does not. A server that cannot
-- choose (set_repl is missing, or refused) writes them to both.
local function set_without_aof(name, bytes, ttl_s)
  pcall(redis.set_repl, redis.REPL_REPLICA)
  redis.call('SET', name, bytes, 'EX', ttl_s)
  pcall(redis.set_repl, redis.REPL_ALL)
end

-- The key part of a job's image by its number from 1.
local function image_part(number) return number == 1 and 'image' or 'image.' .. number end

-- When the objects that hold the job's images in the media store are deleted.
local function set_media_expiry(job, at)
  local members = {}
  for name in (job.media or ''):gmatch('%S+') do
    members[#members + 1] = digits(at)
    members[#members + 1] = name
  end
  if members[1] then redis.call('ZADD', 'dr:results', 'XX', unpack(members)) end
end

local function delete_images(job, now)
  if not job.pictures then return end
  redis.call('DEL', key(job.id, 'image.jpg'))
  for number = 1, tonumber(job.pictures) do redis.call('DEL', key(job.id, image_part(number))) end
  set_media_expiry(job, now)
  drop(job, 'pictures', 'media')
end

