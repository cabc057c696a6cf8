-- PENDING -> COMPLETED, for the attempt that holds the job and has stored its images. Idempotent.
-- args: id, claim_token, ttl_s, event_data (JSON), results (JSON)
-- Returns 1, or 0 if the attempt no longer holds the job or an image is missing.
local id, now = args.id, now_ms()
if get(id, 'state') == 'COMPLETED' and get(id, 'endedBy') == args.claim_token then return 1 end
if not holds_lease(id, args.claim_token) then return 0 end
if redis.call('EXISTS', key(id, 'image'), key(id, 'image.jpg')) < 2 then return 0 end
record_site_result(id, 'works', now)
update_mean_runtime(id, now)
finish(id, now, 'COMPLETED', args.ttl_s, 'completed', args.event_data, {'results', args.results})
return 1
