-- Claim the next job for one attempt and grant it a lease. Owners are served round robin; within an owner priority and
-- age decide.
-- args: lease_ms, worker_id, claim_token, max_deliveries, ttl_s, rules (see publish_rules.lua), jitter (factor of the
--       pauses between starts)
-- Returns {id, its JOB_FIELDS in order}, an empty table if no job may start, or 'rules' if they must be published first.
local BATCH = 20
local now, token = now_ms(), args.claim_token

local function claimed(job)
  local values = {}
  for i, name in ipairs(JOB_FIELDS) do values[i] = job[name] or false end
  return {job.id, values}
end

-- The caller repeats a call whose answer was lost. The job is still its own unless another attempt has claimed it
-- since.
local previous = redis.call('GET', 'dr:claim:' .. token)
if previous then
  local job = load_whole_job(previous)
  return job.claimToken == token and claimed(job) or {}
end

-- The first job of the site's first owner in turn: {site, owner, position, score}, or nil; and whether "dr:heads" was out
-- of line and has changed.
local function first_candidate(site)
  local has_changed = false
  while true do
    local head = redis.call('ZRANGE', 'dr:turns:' .. site.name, 0, 0, 'WITHSCORES')
    local owner = head[1]
    if not owner then
      redis.call('ZREM', 'dr:heads', site.name)
      return nil, true
    end
    local ready = redis.call('ZRANGE', ready_key(site.name, owner), 0, 0, 'WITHSCORES')
    if ready[1] and remaining_concurrency(owner) > 0 then
      return {site = site, owner = owner, position = tonumber(head[2]), score = tonumber(ready[2])}, has_changed
    end
    refresh_owner(owner, nil, site.name)
    has_changed = true
  end
end

-- Returns the candidate, or nil, and whether rules are missing.
local function next_in_turn()
  local best, kept = nil, 0
  while true do
    local heads = redis.call('ZRANGE', 'dr:heads', kept, kept + BATCH - 1, 'WITHSCORES')
    local has_moved = false
    for i = 1, #heads, 2 do
      if best and tonumber(heads[i + 1]) > best.position then return best end
      local site = find_rule(heads[i])
      if not site and lacks_rules() then return nil, true end
      local blocked = site and blocked_until(site, now)
      if blocked then
        rest(site.name, now, blocked)
      else
        kept = kept + 1
        local candidate, has_changed
        if site then candidate, has_changed = first_candidate(site) end
        has_moved = has_moved or has_changed
        if candidate and (not best or candidate.position < best.position
            or candidate.position == best.position and candidate.score < best.score) then
          best = candidate
        end
      end
    end
    if #heads < 2 * BATCH then return best end
    -- Others have taken the places of those that have moved.
    if has_moved then kept = 0 end
  end
end

local function start(job, site)
  local attempt, site_key = tonumber(job.attempt) + 1, 'dr:site:' .. site.name
  local queued_at = tonumber(job.queuedAt)
  set(job, 'deliveries', tonumber(job.deliveries) + 1)
  set(job, 'attempt', attempt)
  set_state(job, 'STARTING')
  set(job, 'leaseOwner', args.worker_id)
  set(job, 'claimToken', token)
  set(job, 'startedAt', now)
  grant_lease(job, now + args.lease_ms)
  redis.call('SET', 'dr:claim:' .. token, job.id, 'PX', CLAIM_TTL_MS)
  if site.is_open then redis.call('HSET', site_key, 'canary', job.id) end
  if site.pause_ms > 0 then redis.call('HSET', site_key, 'nextAt', digits(now + site.pause_ms)) end
  if site.daily > 0 then
    redis.call('INCR', starts_key(site.name, now))
    redis.call('EXPIRE', starts_key(site.name, now), DAY_COUNTER_TTL_S)
  end
  observe('pickup', math.max(0, now - queued_at) / 1000)
  append_event(job, now, 'starting', cjson.encode({attempt = attempt}))
  save_job(job)
end

wake_rested(now)
while true do
  local chosen, lacks = next_in_turn()
  if not chosen then return lacks and 'rules' or {} end
  local site, owner = chosen.site, chosen.owner
  local id = redis.call('ZPOPMIN', ready_key(site.name, owner))[1]
  local job = load_whole_job(id)
  local may_start = job.state == 'QUEUED' and tonumber(job.deliveries) < args.max_deliveries
  if may_start then start(job, site) end
  refresh_claimed(owner, redis.call('INCR', 'dr:turn'), site.name)
  if may_start then return claimed(job) end
  if job.state == 'QUEUED' then fail_job(job, now, args.ttl_s, 'worker_lost', '') end
end
