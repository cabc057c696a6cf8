-- The page showed progress or a preview.
-- args: id, claim_token, type (of the event), data (JSON), ttl_s (of the preview)
-- ARGV[2]: preview bytes, if type is 'preview'
-- Returns the event's sequence number, or 0 if the attempt no longer holds the job.
local id = args.id
if not holds_lease(id, args.claim_token) then return 0 end
if args.type == 'preview' then
  redis.call('SET', key(id, 'preview'), ARGV[2], 'EX', args.ttl_s)
else
  set(id, 'progress', args.data)
end
local seq = append_event(id, now_ms(), args.type, args.data)
-- A preview's version is the number of its event, so that every view of the job names the same version.
if args.type == 'preview' then set(id, 'previewVersion', seq) end
return seq
