-- Take a job back from an attempt whose lease has expired or whose worker is dead. It is the owner's next; a job that
-- has lost as many workers as it may ends.
-- args: id, ttl_s, max_deliveries; optional: dead_worker
-- Returns 1 if the job was requeued or ended, else 0.
local id, now = args.id, now_ms()
if not is_running(get(id, 'state')) then
  redis.call('ZREM', 'dr:leases', id)
  for _, site in ipairs(sites()) do redis.call('ZREM', 'dr:leases:' .. site, id) end
  return 0
end
local is_expired = (tonumber(get(id, 'leaseUntil')) or 0) <= now
if not is_expired and (not args.dead_worker or get(id, 'leaseOwner') ~= args.dead_worker) then return 0 end
if tonumber(get(id, 'deliveries')) >= args.max_deliveries and not get(id, 'cancelRequestedAt') then
  fail_job(id, now, args.ttl_s, 'worker_lost', '')
  return 1
end
return_to_queue(id, now, now, args.ttl_s, {attempt = tonumber(get(id, 'attempt')), code = 'worker_lost',
  message = 'The worker that ran this job was lost.', due = now}, true)
return 1
