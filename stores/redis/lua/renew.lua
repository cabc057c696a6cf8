-- Extend the lease of an attempt.
-- args: id, claim_token, lease_ms
-- Returns 1 while the attempt holds the job, 2 if the job's cancellation was requested, 0 if the lease is lost.
if not holds_lease(args.id, args.claim_token) then return 0 end
grant_lease(args.id, now_ms() + args.lease_ms)
return get(args.id, 'cancelRequestedAt') and 2 or 1
