-- The page showed progress or a preview.
-- args: id, claim_token, type (of the event), data (JSON), ttl_s (of the preview)
-- ARGV[2]: preview bytes, if type is 'preview'
-- Returns the event's sequence number, or 0 if the attempt no longer holds the job.
local job = load_job(args.id, FOR_EVENTS)
if not holds_lease(job, args.claim_token) then return 0 end
local seq = append_event(job, now_ms(), args.type, args.data)
if args.type == 'preview' then
  redis.call('SET', key(job.id, 'preview'), ARGV[2], 'EX', args.ttl_s)
  -- A preview's version is the number of its event, so that every view of the job names the same version.
  set(job, 'previewVersion', seq)
else
  set(job, 'progress', args.data)
end
save_job(job)
return seq
