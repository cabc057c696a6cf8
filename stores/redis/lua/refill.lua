-- Offer the jobs whose time has come, and count those that may be claimed now.
-- ARGV: now, then of each site: name, most at once, pause in ms, most a day.  Returns how many tickets should be in the queue.
local now = tonumber(ARGV[1])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'dr:due', '-inf', now, 'LIMIT', 0, 500)) do
  redis.call('ZREM', 'dr:due', id)
  if get(id, 'state') == 'QUEUED' then offer(id) end
end

local function claimable(site, most, pause, daily)
  if blocked(site, most, daily, now) then return 0 end
  local jobs = 0
  for _, owner in ipairs(redis.call('ZRANGE', 'dr:turns:' .. site, 0, -1)) do
    jobs = jobs + math.min(redis.call('ZCARD', ready_key(site, owner)), room_of(owner))
  end
  if most > 0 then jobs = math.min(jobs, most - redis.call('ZCARD', 'dr:leases:' .. site)) end
  if pause > 0 or redis.call('HEXISTS', 'dr:site:' .. site, 'retryAt') == 1 then jobs = math.min(jobs, 1) end
  return jobs
end

local tickets = 0
for i = 2, #ARGV, 4 do
  tickets = tickets + claimable(ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]))
end
return tickets
