-- Functions that only read. stores/redis/scripts.py puts this file before every script, after JOB_FIELDS: the fields of
-- the job hash in the order in which stores/redis/job_decoding.py reads them. stores/redis/keys.py lists the keys.
--
-- ARGV[1] is a JSON object with the arguments that each script names in its header; an optional one is absent. Bytes,
-- which JSON cannot hold, and texts that are only stored follow as ARGV[2], ARGV[3], ...

local args = cjson.decode(ARGV[1])

local function key(id, part) return 'dr:{' .. id .. '}:' .. part end

local function get(id, name) return redis.call('HGET', key(id, 'job'), name) end

local function is_final(state) return state == 'COMPLETED' or state == 'FAILED' end

local function is_running(state) return state == 'STARTING' or state == 'PENDING' end

local function ready_key(site, owner) return 'dr:ready:' .. site .. '|' .. owner end

local function sites() return redis.call('SMEMBERS', 'dr:sites') end

-- Lua writes large numbers with an exponent; times and scores must be plain digits.
local function digits(number) return string.format('%.0f', number) end

-- The limit that forbids one more job, or nil. limits: open (jobs of all owners), owner_open, day_key and week_key
-- (counters of the owner's images), daily, weekly. An absent limit allows any number.
local function limit_reached(owner, limits)
  if redis.call('ZCARD', 'dr:open') >= limits.open then return 'full' end
  if limits.owner_open and redis.call('ZCARD', 'dr:open:' .. owner) >= limits.owner_open then return 'queued' end
  if limits.weekly and (tonumber(redis.call('GET', limits.week_key)) or 0) >= limits.weekly then return 'weekly' end
  if limits.daily and (tonumber(redis.call('GET', limits.day_key)) or 0) >= limits.daily then return 'daily' end
end

-- Scores within one owner's ready set: lower is claimed first. Priority outweighs any age in ms (1e13 is the year
-- 2286).
local function ready_score(queued_at, priority) return digits(queued_at - priority * 1e13) end

-- requeued: before every job of the owner, whatever their priorities; priority does not exceed 10.
local function job_ready_score(id, requeued)
  local fields = redis.call('HMGET', key(id, 'job'), 'priority', 'startTime')
  local start_time = tonumber(fields[2])
  return requeued and digits(start_time - 1e15) or ready_score(start_time, tonumber(fields[1] or 0))
end

-- The number of jobs that are claimed before one with this score, if every site except those with an open circuit keeps
-- its pace. Owners are served round robin, so each other owner goes first at most once per job of this owner.
local function jobs_ahead(score, job_site, owner)
  local position = tonumber(redis.call('ZSCORE', 'dr:turns:' .. job_site, owner) or 'inf')
  local own, others = 0, {}
  for _, site in ipairs(sites()) do
    if site == job_site or redis.call('HEXISTS', 'dr:site:' .. site, 'retryAt') == 0 then
      own = own + redis.call('ZCOUNT', ready_key(site, owner), '-inf', '(' .. score)
      local turns = redis.call('ZRANGE', 'dr:turns:' .. site, 0, -1, 'WITHSCORES')
      for i = 1, #turns, 2 do
        if turns[i] ~= owner then
          local other = others[turns[i]] or {waiting = 0, position = tonumber(turns[i + 1])}
          other.waiting = other.waiting + redis.call('ZCARD', ready_key(site, turns[i]))
          others[turns[i]] = other
        end
      end
    end
  end
  local ahead = own
  for _, other in pairs(others) do
    ahead = ahead + math.min(other.waiting, own + (other.position < position and 1 or 0))
  end
  return ahead
end

-- Of an unfinished job: the number of jobs ahead (false unless it is queued); runMs, retryAt and error of its site; the
-- number of running jobs; the capacity of all workers.
local function queue_estimate(id, state, site_name, owner)
  local site = redis.call('HMGET', 'dr:site:' .. site_name, 'runMs', 'retryAt', 'error')
  local ahead = false
  if state == 'QUEUED' then
    ahead = jobs_ahead(redis.call('ZSCORE', ready_key(site_name, owner), id) or job_ready_score(id), site_name, owner)
  end
  return {ahead, site[1], site[2], site[3], redis.call('ZCARD', 'dr:leases'), redis.call('GET', 'dr:slots')}
end
