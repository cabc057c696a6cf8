-- What the sweeps do to one job.

-- Take a job back from an attempt whose lease has expired or whose worker is dead. It is the owner's next; a job that
-- has lost as many workers as it may ends. Returns whether it was requeued or ended.
local function take_back(id, now, dead_worker)
  local job = load_job(id)
  if not is_running(job.state) then
    redis.call('ZREM', 'dr:leases', id)
    for _, site in ipairs(job.site and {job.site} or redis.call('SMEMBERS', 'dr:sites')) do
      redis.call('ZREM', 'dr:leases:' .. site, id)
    end
    return false
  end
  local is_expired = (tonumber(job.leaseUntil) or 0) <= now
  if not is_expired and (not dead_worker or job.leaseOwner ~= dead_worker) then return false end
  if tonumber(job.deliveries) >= args.max_deliveries and not job.cancelRequestedAt then
    fail_job(job, now, args.ttl_s, 'worker_lost', '')
    return true
  end
  return_to_queue(job, now, now, args.ttl_s, {attempt = tonumber(job.attempt), code = 'worker_lost',
    message = 'The worker that ran this job was lost.', due = now}, true)
  return true
end

-- End a job that has waited too long since it was accepted or requeued. Returns 1 if it has ended, 0 if it may still
-- wait or runs, -1 if it has no record.
local function expire_job(id, now)
  local job = load_job(id)
  if not job.state then return -1 end
  if job.state ~= 'QUEUED' or tonumber(job.queuedAt) > now - args.max_wait_ms then return 0 end
  fail_job(job, now, args.ttl_s, args.code, args.message)
  return 1
end
