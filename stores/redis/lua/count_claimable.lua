-- Make jobs claimable whose due time has come, and count the jobs that may be claimed now.
-- args: sites (see claim.lua)
-- Returns the number of wakeups that should be in the queue.
local MAX_DUE = 500
local now = now_ms()
for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'dr:due', '-inf', now, 'LIMIT', 0, MAX_DUE)) do
  redis.call('ZREM', 'dr:due', id)
  if get(id, 'state') == 'QUEUED' then make_claimable(id) end
end

local function claimable(site)
  if start_blocked_by(site, now) then return 0 end
  local jobs = 0
  for _, owner in ipairs(redis.call('ZRANGE', 'dr:turns:' .. site.name, 0, -1)) do
    jobs = jobs + math.min(redis.call('ZCARD', ready_key(site.name, owner)), remaining_concurrency(owner))
  end
  if site.concurrency > 0 then
    jobs = math.min(jobs, site.concurrency - redis.call('ZCARD', 'dr:leases:' .. site.name))
  end
  -- With a pause between starts, or an open circuit that one job at a time may test, only one can start now.
  if site.pause_ms > 0 or redis.call('HEXISTS', 'dr:site:' .. site.name, 'retryAt') == 1 then
    jobs = math.min(jobs, 1)
  end
  return jobs
end

local total = 0
for _, site in ipairs(args.sites) do total = total + claimable(site) end
return total
