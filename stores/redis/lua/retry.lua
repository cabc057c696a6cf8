-- Return a job to the queue for another attempt after a delay.
-- args: id, claim_token, delay_ms, code, message, ttl_s, is_retry (false if the worker only stops: the job then keeps
--       its place and its retries)
-- ARGV[2] (optional): failure report, JSON
-- Returns 1, or 0 if the attempt no longer holds the job.
local job, now = load_job(args.id), now_ms()
if not holds_lease(job, args.claim_token) then return 0 end
local due = now + args.delay_ms
if ARGV[2] then redis.call('SET', key(job.id, 'failure'), ARGV[2], 'EX', args.ttl_s) end
set(job, 'deliveries', tonumber(job.deliveries) - 1)
if args.is_retry then set(job, 'retries', tonumber(job.retries or 0) + 1) end
record_site_result(job, site_effect(args.code), now, args.code, args.message)
local data = {attempt = tonumber(job.attempt), code = args.code, message = args.message, due = due}
return_to_queue(job, now, due, args.ttl_s, data, not args.is_retry)
return 1
