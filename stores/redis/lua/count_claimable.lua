-- Make jobs claimable whose due time has come, and count the jobs that may be claimed now.
-- args: rules, jitter (see claim.lua); optional: enough (the count may stop there)
-- Returns the number of wakeups that should be in the queue, or 'rules' if they must be published first.
local MAX_DUE, BATCH = 500, 50
local now = now_ms()
local due = redis.call('ZRANGEBYSCORE', 'dr:due', '-inf', now, 'LIMIT', 0, MAX_DUE)
for _, id in ipairs(due) do
  redis.call('ZREM', 'dr:due', id)
  local job = load_job(id)
  if job.state == 'QUEUED' then make_claimable(job) end
end
if due[1] then publish_change('', 0, '', true) end
wake_rested(now)

local function count_claimable(site)
  local jobs = math.max(1, tonumber(redis.call('HGET', 'dr:claimable', site.name) or 0))
  if site.concurrency > 0 then
    jobs = math.min(jobs, site.concurrency - redis.call('ZCARD', 'dr:leases:' .. site.name))
  end
  -- With a pause between starts, or an open circuit that one job at a time may test, only one can start now.
  if site.pause_ms > 0 or site.is_open then
    jobs = math.min(jobs, 1)
  end
  return jobs
end

local total, kept = 0, 0
repeat
  local heads = redis.call('ZRANGE', 'dr:heads', kept, kept + BATCH - 1)
  for _, name in ipairs(heads) do
    local site = find_rule(name)
    if not site and lacks_rules() then return 'rules' end
    local blocked = site and blocked_until(site, now)
    if blocked then
      rest(name, now, blocked)
    else
      kept = kept + 1
      if site then total = total + count_claimable(site) end
    end
  end
until #heads < BATCH or total >= (args.enough or math.huge)
return total
