-- Who may be claimed from next. Every function brings the indexes into line with what is true (the jobs in the ready
-- sets, the limits, the running jobs) instead of counting changes, so each call also repairs what another version of
-- this program, or a restored backup, has left:
--
-- dr:places         zset of "OWNER|SITE" with claimable jobs, all scores 0: the sites of one owner by prefix
-- dr:weights        zset: owner by its claimable jobs, at all sites
-- dr:positions      zset: owner with claimable jobs by its round-robin position, one for all sites
-- dr:turns:SITE     zset: owner by position; only those who have claimable jobs there and may have one more running
-- dr:shares         hash: "SITE|OWNER" -> how many of these jobs may start, seen from the owner alone
-- dr:claimable      hash: SITE -> the sum of these
-- dr:heads          zset: site by the position of its first owner in "dr:turns:SITE"
-- dr:resting        zset: site at which no job may start now, and which is therefore not in "dr:heads", by the time at
--                   which it is checked again

local MAX_REST_MS, MAX_WOKEN = 1000, 100

-- How many more jobs of an owner may start now.
local function remaining_concurrency(owner)
  local limit = redis.call('GET', 'dr:most:' .. owner)
  return limit and math.max(0, tonumber(limit) - redis.call('SCARD', 'dr:running:' .. owner)) or math.huge
end

local function refresh_head(site)
  if redis.call('ZSCORE', 'dr:resting', site) then return end
  local head = redis.call('ZRANGE', 'dr:turns:' .. site, 0, 0, 'WITHSCORES')
  if head[1] then redis.call('ZADD', 'dr:heads', head[2], site) else redis.call('ZREM', 'dr:heads', site) end
end

local function rest(site, now, until_ms)
  redis.call('ZREM', 'dr:heads', site)
  redis.call('ZADD', 'dr:resting', digits(math.min(until_ms, now + MAX_REST_MS)), site)
end

local function end_rest(site)
  if redis.call('ZREM', 'dr:resting', site) == 1 then refresh_head(site) end
end

local function wake_rested(now)
  for _, site in ipairs(redis.call('ZRANGEBYSCORE', 'dr:resting', '-inf', now, 'LIMIT', 0, MAX_WOKEN)) do
    end_rest(site)
  end
end

local function set_share(site, owner, share)
  local field = site .. '|' .. owner
  local before = tonumber(redis.call('HGET', 'dr:shares', field) or 0)
  if share == before then return end
  if share > 0 then redis.call('HSET', 'dr:shares', field, share) else redis.call('HDEL', 'dr:shares', field) end
  if redis.call('HINCRBY', 'dr:claimable', site, share - before) <= 0 then redis.call('HDEL', 'dr:claimable', site) end
end

-- ready: the number of the owner's claimable jobs at the site.
local function set_turn(site, owner, ready, room, position)
  local share = math.min(ready, room)
  set_share(site, owner, share)
  if share > 0 then
    redis.call('ZADD', 'dr:turns:' .. site, position, owner)
  else
    redis.call('ZREM', 'dr:turns:' .. site, owner)
  end
  refresh_head(site)
end

-- Returns the number of the owner's claimable jobs at the site.
local function refresh_place(site, owner, room, position)
  local ready, place = redis.call('ZCARD', ready_key(site, owner)), owner .. '|' .. site
  if ready > 0 then redis.call('ZADD', 'dr:places', 0, place) else redis.call('ZREM', 'dr:places', place) end
  set_turn(site, owner, ready, room, position)
  return ready
end

-- Also returns whether "dr:positions" has it. An owner without claimable jobs joins behind all others.
local function find_position(owner, site)
  local position = redis.call('ZSCORE', 'dr:positions', owner)
  if position then return position, true end
  -- Where versions without dr:positions have it.
  return site and redis.call('ZSCORE', 'dr:turns:' .. site, owner) or redis.call('INCR', 'dr:turn'), false
end

-- total: the owner's claimable jobs at all sites.
local function set_weight(owner, total, position)
  if total > 0 then
    redis.call('ZADD', 'dr:weights', total, owner)
    redis.call('ZADD', 'dr:positions', position, owner)
  else
    redis.call('ZREM', 'dr:weights', owner)
    redis.call('ZREM', 'dr:positions', owner)
  end
end

-- position: a new one; site: one at which the owner's jobs may have become claimable, or all have gone.
local function refresh_owner(owner, position, site)
  local at, total = owner_sites(owner), 0
  local is_listed = not site
  for _, each in ipairs(at) do is_listed = is_listed or each == site end
  if not is_listed then at[#at + 1] = site end
  if #at > 0 then
    position = position or find_position(owner, site)
    local room = remaining_concurrency(owner)
    for _, each in ipairs(at) do total = total + refresh_place(each, owner, room, position) end
  end
  set_weight(owner, total, position)
end

-- One of the owner's jobs at the site was claimed; position: its new one.
local function refresh_claimed(owner, position, site)
  local ready = redis.call('ZCARD', ready_key(site, owner))
  -- With jobs at other sites too, its turn changes there as well.
  if tonumber(redis.call('ZSCORE', 'dr:weights', owner) or 0) ~= ready + 1 then
    return refresh_owner(owner, position, site)
  end
  local room = remaining_concurrency(owner)
  if ready > 0 then set_turn(site, owner, ready, room, position) else refresh_place(site, owner, room, position) end
  set_weight(owner, ready, position)
end

-- most: how many jobs of the owner may run at once from now on, as text; false if any number may.
local function limit_running(owner, most)
  if redis.call('GET', 'dr:most:' .. owner) == most then return end
  if most then redis.call('SET', 'dr:most:' .. owner, most) else redis.call('DEL', 'dr:most:' .. owner) end
  refresh_owner(owner)
end

-- One more (by = 1) or one less (-1) of the owner's jobs is claimable at the site.
local function count_claimable_job(site, owner, by)
  if tonumber(redis.call('ZINCRBY', 'dr:weights', by, owner)) <= 0 then return refresh_owner(owner, nil, site) end
  local position, is_known = find_position(owner, site)
  if not is_known then redis.call('ZADD', 'dr:positions', position, owner) end
  refresh_place(site, owner, remaining_concurrency(owner), position)
end

local function make_claimable(job, requeued)
  local site, owner = job.site, job.owner
  redis.call('SADD', 'dr:sites', site)
  local score = job_ready_score(job.startTime, job.priority, requeued)
  local is_new = redis.call('ZADD', ready_key(site, owner), score, job.id) == 1
  if requeued then return refresh_owner(owner, 0, site) end
  if is_new then count_claimable_job(site, owner, 1) else refresh_owner(owner, nil, site) end
end

local function make_unclaimable(job)
  redis.call('ZREM', 'dr:due', job.id)
  if redis.call('ZREM', ready_key(job.site, job.owner), job.id) == 1 then
    count_claimable_job(job.site, job.owner, -1)
  end
end

-- The counter of a site's starts on the day (UTC) of now.
local function starts_key(site, now) return 'dr:started:' .. site .. ':' .. math.floor(now / 86400000) end

-- Whether the limits of sites that the caller's recipes have must be published first.
local function lacks_rules() return redis.call('EXISTS', 'dr:rules:' .. args.rules) == 0 end

-- Several servers share the limits of a site: this one may start jobs only within its part, which ends by itself unless
-- it is renewed. A site without limits has a part only while its circuit is open.
local function apply_allotment(rule)
  local permits, starts = (redis.call('HGET', 'dr:allotments', rule.name) or ''):match('^(%d+) (%d)$')
  if permits then
    permits = tonumber(permits)
    rule.concurrency = rule.concurrency > 0 and math.min(rule.concurrency, permits) or permits
    rule.is_closed = permits == 0 or starts == '0'
  else
    rule.is_closed = rule.concurrency > 0 or rule.pause_ms > 0 or rule.daily > 0
  end
end

-- The limits of a site as the caller's recipes have them, or nil if it has no recipe for the site: name, concurrency,
-- pause_ms and daily; 0 means no limit. blocked_until adds is_open, whether its circuit is.
-- is_closed: none of its jobs may start on this server now.
local function find_rule(site)
  local row = redis.call('HGET', 'dr:rules:' .. args.rules, site)
  if not row then return nil end
  local concurrency, interval_ms, daily = row:match('^(%d+) (%d+) (%d+)$')
  local rule = {name = site, concurrency = tonumber(concurrency), pause_ms = math.floor(interval_ms * args.jitter),
    daily = tonumber(daily)}
  if args.shared then apply_allotment(rule) end
  return rule
end

-- Until when no job of the site may start, as far as that is known; nil if one may start now.
local function blocked_until(site, now)
  if site.is_closed then return math.huge end
  local fields = redis.call('HMGET', 'dr:site:' .. site.name, 'retryAt', 'canary', 'nextAt')
  local retry_at, canary, next_at = fields[1], fields[2], fields[3]
  site.is_open = retry_at
  if retry_at and now < tonumber(retry_at) then return tonumber(retry_at) end
  if retry_at and canary and redis.call('ZSCORE', 'dr:leases', canary) then return math.huge end
  if site.concurrency > 0 and redis.call('ZCARD', 'dr:leases:' .. site.name) >= site.concurrency then
    return math.huge
  end
  if next_at and now < tonumber(next_at) then return tonumber(next_at) end
  if site.daily > 0 and tonumber(redis.call('GET', starts_key(site.name, now)) or 0) >= site.daily then
    return math.huge
  end
end
