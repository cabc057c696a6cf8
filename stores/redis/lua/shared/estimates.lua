-- Positions in the queue. Only one job's own owner is looked at site by site; all others are counted in two indexes:
-- "dr:positions" (their turns) and "dr:weights" (their claimable jobs).
--
-- Owners are served round robin, so of each other owner as many jobs go first as the job has jobs of its own owner before
-- it, and one more of those whose turn is earlier. Sites with an open circuit do not count, except the job's own.

-- Up to so many other owners are looked at one by one; their jobs alone are more than so many otherwise.
local MAX_EXACT = 100

-- The sites with an open circuit, other than the job's.
local function find_open_circuits(job_site)
  local open = {}
  for _, site in ipairs(redis.call('SMEMBERS', 'dr:circuits')) do
    if site ~= job_site then open[#open + 1] = site end
  end
  return open
end

-- The owner's jobs that are claimed before one with this score. id: of the job, unless it is only asked about.
local function count_own_ahead(id, score, job_site, owner, own_weight, open)
  local own_score = id and redis.call('ZSCORE', ready_key(job_site, owner), id)
  -- The owner's only claimable job, as usual.
  if own_score and own_weight == 1 then return 0 end
  score = own_score or score
  local is_open, own = {}, 0
  for _, site in ipairs(open) do is_open[site] = true end
  for _, site in ipairs(owner_sites(owner)) do
    if not is_open[site] then own = own + redis.call('ZCOUNT', ready_key(site, owner), '-inf', '(' .. score) end
  end
  return own
end

-- The owner's turn, or nil, and the number of owners whose turn is earlier.
local function find_turn(owner)
  local position = tonumber(redis.call('ZSCORE', 'dr:positions', owner) or nil)
  if not position then return nil, redis.call('ZCARD', 'dr:positions') end
  -- Several may be next; every other turn is one owner's.
  return position, position > 0 and redis.call('ZRANK', 'dr:positions', owner) or 0
end

-- others: names of owners; before: those of them alone whose turn is earlier are among them.
local function count_others_one_by_one(others, owner, own, position, open)
  if #others == 0 then return 0 end
  local weights = redis.call('ZMSCORE', 'dr:weights', unpack(others))
  local positions = redis.call('ZMSCORE', 'dr:positions', unpack(others))
  local ahead = 0
  for i, other in ipairs(others) do
    if other ~= owner then
      local waiting = tonumber(weights[i] or 0)
      for _, site in ipairs(open) do waiting = waiting - redis.call('ZCARD', ready_key(site, other)) end
      local is_before = tonumber(positions[i] or 'inf') < position
      ahead = ahead + math.max(0, math.min(waiting, own + (is_before and 1 or 0)))
    end
  end
  return ahead
end

-- The same from a few counts: of the owners with at least 1, 2, 4, ... jobs, between which the number falls evenly.
local function count_others_about(others, own, before, own_weight)
  local function owners_with(jobs)
    return redis.call('ZCOUNT', 'dr:weights', jobs, '+inf') - (own_weight >= jobs and 1 or 0)
  end
  local ahead, jobs, owners = own > 0 and others or 0, 1, others
  while jobs < own and owners > 0 do
    local more = math.min(2 * jobs, own)
    local fewer = owners_with(more)
    ahead = ahead + ((more - jobs) * (owners + fewer) - (owners - fewer)) / 2
    jobs, owners = more, fewer
  end
  return ahead + before * owners_with(own + 1) / others
end

-- The share of all waiting jobs that no open circuit holds back.
local function share_that_moves(open)
  local waiting = redis.call('ZCARD', 'dr:open') - redis.call('ZCARD', 'dr:leases')
  local held = 0
  for _, site in ipairs(open) do held = held + tonumber(redis.call('HGET', 'dr:counts', site .. '|QUEUED') or 0) end
  return waiting > 0 and math.max(0, 1 - held / waiting) or 1
end

-- Two digits are what an estimate is good for.
local function round_off(number)
  local unit = 10 ^ math.max(0, math.floor(math.log10(math.max(number, 1))) - 1)
  return math.floor(number / unit + 0.5) * unit
end

-- The number of jobs that are claimed before one with this score, if every site keeps its pace, and 1 if it is an
-- estimate, which only numbers above MAX_EXACT are while no other site's circuit is open.
local function jobs_ahead(id, score, job_site, owner)
  local open = find_open_circuits(job_site)
  local own_weight = tonumber(redis.call('ZSCORE', 'dr:weights', owner) or 0)
  local own = count_own_ahead(id, score, job_site, owner, own_weight, open)
  local turn, before = find_turn(owner)
  if own == 0 and #open == 0 then return before, 0 end
  local others = redis.call('ZCARD', 'dr:weights') - (own_weight > 0 and 1 or 0)
  if others <= 0 then return own, 0 end
  local position = turn or math.huge
  if own == 0 and before <= MAX_EXACT then
    local earlier = before > 0 and redis.call('ZRANGE', 'dr:positions', 0, before - 1) or {}
    return count_others_one_by_one(earlier, owner, own, position, open), 0
  elseif others <= MAX_EXACT then
    local names = redis.call('ZRANGE', 'dr:weights', 0, -1)
    return own + count_others_one_by_one(names, owner, own, position, open), 0
  end
  local share = #open > 0 and share_that_moves(open) or 1
  -- The position is one more, and is what is shown.
  return round_off(own + share * count_others_about(others, own, before, own_weight) + 1) - 1, 1
end

-- Of an unfinished job: the number of jobs ahead (false unless it is queued); runMs, retryAt and error of its site; the
-- number of running jobs; the capacity of all workers; 1 if the number of jobs ahead is an estimate.
-- score: the job's in its ready set, unless it stands there.
local function queue_estimate(id, state, site_name, owner, score)
  local site = redis.call('HMGET', 'dr:site:' .. site_name, 'runMs', 'retryAt', 'error')
  local ahead, is_estimate = false, 0
  if state == 'QUEUED' then
    ahead, is_estimate = jobs_ahead(id, score, site_name, owner)
  end
  return {ahead, site[1], site[2], site[3], redis.call('ZCARD', 'dr:leases'), redis.call('GET', 'dr:slots'), is_estimate}
end

local function brief_estimate(site_name)
  local site = redis.call('HMGET', 'dr:site:' .. site_name, 'retryAt', 'error')
  return {false, false, site[1], site[2], false, false, 0}
end
