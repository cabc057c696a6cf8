-- Extend the lease of an attempt.
-- args: id, claim_token, lease_ms
-- Returns 1 while the attempt holds the job, 2 if the job's cancellation was requested, 0 if the lease is lost.
local job = load_job(args.id, FOR_LEASE)
if not holds_lease(job, args.claim_token) then return 0 end
extend_lease(job, now_ms() + args.lease_ms)
save_job(job)
return job.cancelRequestedAt and 2 or 1
