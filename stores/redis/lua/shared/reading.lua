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

-- The sites at which an owner has claimable jobs.
local function owner_sites(owner)
  local found = redis.call('ZRANGEBYLEX', 'dr:places', '[' .. owner .. '|', '(' .. owner .. '}')
  for i = 1, #found do found[i] = found[i]:sub(#owner + 2) end
  return found
end

-- Lua writes large numbers with an exponent; times and scores must be plain digits.
local function digits(number) return string.format('%.0f', number) end

-- The limit that forbids so many more jobs, or nil. limits: open (jobs of all owners), owner_open, day_key and week_key
-- (counters of the owner's images), daily, weekly. An absent limit allows any number. shared: several servers share
-- "open", and "dr:room" is this one's part.
local function limit_reached(owner, limits, jobs)
  local room = limits.shared and tonumber(redis.call('GET', 'dr:room') or 0) or limits.open
  if redis.call('ZCARD', 'dr:open') + jobs > math.min(room, limits.open) then return 'full' end
  if limits.owner_open and redis.call('ZCARD', 'dr:open:' .. owner) + jobs > limits.owner_open then return 'queued' end
  if limits.weekly and (tonumber(redis.call('GET', limits.week_key)) or 0) + jobs > limits.weekly then return 'weekly' end
  if limits.daily and (tonumber(redis.call('GET', limits.day_key)) or 0) + jobs > limits.daily then return 'daily' end
end

-- Scores within one owner's ready set: lower is claimed first. Priority outweighs any age in ms (1e13 is the year
-- 2286).
local function ready_score(queued_at, priority) return digits(queued_at - priority * 1e13) end

-- requeued: before every job of the owner, whatever their priorities; priority does not exceed 10.
local function job_ready_score(start_time, priority, requeued)
  start_time = tonumber(start_time)
  return requeued and digits(start_time - 1e15) or ready_score(start_time, tonumber(priority or 0))
end
