-- Cancel a job: at once while it is queued, by request while it runs.
-- args: id, ttl_s; optional: idempotency_key (which is free again if it stands for this job)
-- Returns 'cancelled' | 'requested' | 'ended' | 'gone'.
local key_value = args.idempotency_key and redis.call('GET', args.idempotency_key)
if key_value and key_value:sub(1, 32) == args.id then redis.call('DEL', args.idempotency_key) end
local job = load_job(args.id)
if not job.state then return 'gone' end
if is_final(job.state) then return 'ended' end
if not job.cancelRequestedAt then set(job, 'cancelRequestedAt', now_ms()) end
if is_running(job.state) then
  save_job(job)
  publish_change(job.id, 0, job.owner, false)
  redis.call('PUBLISH', 'dr:cancels', job.id)
  return 'requested'
end
fail_job(job, now_ms(), args.ttl_s, 'cancelled', '')
return 'cancelled'
