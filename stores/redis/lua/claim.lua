-- Claim the next job for one attempt and grant it a lease. Owners are served round robin; within an owner priority and
-- age decide.
-- args: lease_ms, worker_id, claim_token, max_deliveries, ttl_s, sites (each: name, concurrency, pause_ms, daily;
--       0 means no limit)
-- Returns {id, its JOB_FIELDS in order}, or an empty table if no job may start.
local now, token = now_ms(), args.claim_token

local function claimed(id) return {id, redis.call('HMGET', key(id, 'job'), unpack(JOB_FIELDS))} end

-- The caller repeats a call whose answer was lost. The job is still its own unless another attempt has claimed it
-- since.
local previous = redis.call('GET', 'dr:claim:' .. token)
if previous and get(previous, 'claimToken') == token then return claimed(previous) end
if previous then return {} end

-- The site's first owner in turn who may have one more job running: {owner, position}, or an empty table.
local function first_owner_with_room(site)
  local index = 0
  while true do
    local head = redis.call('ZRANGE', 'dr:turns:' .. site.name, index, index, 'WITHSCORES')
    if not head[1] or remaining_concurrency(head[1]) > 0 then return head end
    index = index + 1
  end
end

local function next_in_turn()
  local best
  for _, site in ipairs(args.sites) do
    local head = first_owner_with_room(site)
    if head[1] and not start_blocked_by(site, now) then
      local ready = redis.call('ZRANGE', ready_key(site.name, head[1]), 0, 0, 'WITHSCORES')
      local score = tonumber(ready[2] or 'inf')
      local candidate = {site = site, owner = head[1], position = tonumber(head[2]), score = score}
      if not best or candidate.position < best.position
          or candidate.position == best.position and candidate.score < best.score then
        best = candidate
      end
    end
  end
  return best
end

local function start(id, site, queued_at)
  redis.call('HINCRBY', key(id, 'job'), 'deliveries', 1)
  local attempt = redis.call('HINCRBY', key(id, 'job'), 'attempt', 1)
  set_state(id, 'STARTING')
  set(id, 'leaseOwner', args.worker_id, 'claimToken', token, 'startedAt', digits(now))
  grant_lease(id, now + args.lease_ms)
  redis.call('SET', 'dr:claim:' .. token, id, 'PX', CLAIM_TTL_MS)
  local site_key = 'dr:site:' .. site.name
  if redis.call('HEXISTS', site_key, 'retryAt') == 1 then redis.call('HSET', site_key, 'canary', id) end
  if site.pause_ms > 0 then redis.call('HSET', site_key, 'nextAt', digits(now + site.pause_ms)) end
  if site.daily > 0 then
    redis.call('INCR', starts_key(site.name, now))
    redis.call('EXPIRE', starts_key(site.name, now), DAY_COUNTER_TTL_S)
  end
  observe('pickup', math.max(0, now - queued_at) / 1000)
  append_event(id, now, 'starting', cjson.encode({attempt = attempt}))
end

while true do
  local chosen = next_in_turn()
  if not chosen then return {} end
  local id = redis.call('ZPOPMIN', ready_key(chosen.site.name, chosen.owner))[1]
  drop_round_robin_position(chosen.site.name, chosen.owner)
  set_round_robin_position(chosen.owner, redis.call('INCR', 'dr:turn'))
  local fields = id and redis.call('HMGET', key(id, 'job'), 'state', 'deliveries', 'queuedAt')
  if id and fields[1] == 'QUEUED' then
    if tonumber(fields[2]) < args.max_deliveries then
      start(id, chosen.site, tonumber(fields[3]))
      return claimed(id)
    end
    fail_job(id, now, args.ttl_s, 'worker_lost', '')
  end
end
