-- PENDING -> COMPLETED, for the attempt that holds the job and has stored its images. Idempotent.
-- args: id, claim_token, ttl_s, event_data (JSON), results (JSON); optional: media (keys of the media store that hold the
--       images, the JPEG's first)
-- Returns 1, or 0 if the attempt no longer holds the job or an image is missing.
local job, now = load_job(args.id), now_ms()
if job.state == 'COMPLETED' and job.endedBy == args.claim_token then return 1 end
if not holds_lease(job, args.claim_token) then return 0 end
if args.media then
  delete_images(job, now)
  set(job, 'media', table.concat(args.media, ' '))
  set(job, 'pictures', #args.media - 1)
end
if not job.media and redis.call('EXISTS', key(job.id, 'image'), key(job.id, 'image.jpg')) < 2 then return 0 end
record_success(job, now)
finish(job, now, 'COMPLETED', args.ttl_s, 'completed', args.event_data, {'results', args.results})
return 1
