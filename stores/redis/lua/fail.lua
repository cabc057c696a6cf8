-- End a job as FAILED, by the attempt that holds it.
-- args: id, ttl_s, code, message, claim_token
-- ARGV[2] (optional): failure report, JSON
-- Returns 1, or 0 if the attempt no longer holds the job.
local job, now = load_job(args.id), now_ms()
if not holds_lease(job, args.claim_token) then return 0 end
if ARGV[2] then redis.call('SET', key(job.id, 'failure'), ARGV[2]) end
record_site_result(job, site_effect(args.code), now, args.code, args.message)
fail_job(job, now, args.ttl_s, args.code, args.message)
return 1
