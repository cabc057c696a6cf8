-- The page showed progress, a preview, or both at once.
-- args: id, claim_token; optional: preview, progress (the data of their events, JSON), ttl_s (of the preview)
-- ARGV[2]: preview bytes, if there is one
-- Returns the newest event's sequence number, or 0 if the attempt no longer holds the job.
local job, now = load_job(args.id, FOR_EVENTS), now_ms()
if not holds_lease(job, args.claim_token) then return 0 end
if args.progress then
  set(job, 'progress', args.progress)
  append_event(job, now, 'in_progress', args.progress, args.preview)
end
if args.preview then
  set_without_aof(key(job.id, 'preview'), ARGV[2], args.ttl_s)
  -- A preview's version is the number of its event, so that every view of the job names the same version.
  set(job, 'previewVersion', append_event(job, now, 'preview', args.preview))
end
save_job(job)
return tonumber(job.seq)
