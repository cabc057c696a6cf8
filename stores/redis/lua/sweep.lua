-- Repair what crashes leave behind, in one round trip.
-- args: leases, heartbeats: whether expired leases and dead workers are looked for; dead_after_ms (without a heartbeat);
--       limit (of each list); ttl_s, max_deliveries; max_wait_ms, code, message (of jobs that have waited too long)
-- Returns {ids of jobs taken back, ids of unfinished jobs without a record}.
local now, taken_back, orphans = now_ms(), {}, {}

local function take(id, dead_worker)
  if take_back(id, now, dead_worker) then taken_back[#taken_back + 1] = id end
end

if args.leases then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'dr:leases', '-inf', now, 'LIMIT', 0, args.limit)) do take(id) end
end

local function find_dead(workers)
  local dead = {}
  for first = 1, #workers, 1000 do
    local names = {unpack(workers, first, math.min(first + 999, #workers))}
    for i, heartbeat in ipairs(redis.call('ZMSCORE', 'dr:workers', unpack(names))) do
      if tonumber(heartbeat or 0) < now - args.dead_after_ms then dead[#dead + 1] = names[i] end
    end
  end
  return dead
end

if args.heartbeats then
  for _, worker in ipairs(find_dead(redis.call('SMEMBERS', 'dr:holders'))) do
    local held = redis.call('SRANDMEMBER', 'dr:held:' .. worker, args.limit)
    for _, id in ipairs(held) do
      take(id, worker)
      redis.call('SREM', 'dr:held:' .. worker, id)
    end
    if #held < args.limit then redis.call('SREM', 'dr:holders', worker) end
  end
end

-- Running jobs stay where they are, in front of those that wait, so each sweep goes on where the last one has stopped.
local first, kept = tonumber(redis.call('GET', 'dr:expiry') or 0), 0
local old = redis.call('ZRANGEBYSCORE', 'dr:open', '-inf', now - args.max_wait_ms, 'LIMIT', first, args.limit)
for _, id in ipairs(old) do
  local result = expire_job(id, now)
  if result == -1 then orphans[#orphans + 1] = id elseif result == 0 then kept = kept + 1 end
end
local following = #old < args.limit and 0 or first + kept
if following ~= first then redis.call('SET', 'dr:expiry', following) end
return {taken_back, orphans}
