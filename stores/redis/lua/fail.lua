-- End a job as FAILED: by the attempt that holds it, or, without a claim token, only while it is queued.
-- args: id, now, ttl_s, code, message; optional: claim_token
-- ARGV[2] (optional): failure report, JSON
-- Returns 1, or 0 if the caller may not.
local id, now, token = args.id, args.now, args.claim_token
if token then
  if not holds_lease(id, token) then return 0 end
elseif get(id, 'state') ~= 'QUEUED' then
  return 0
end
if ARGV[2] then redis.call('SET', key(id, 'failure'), ARGV[2]) end
if token then record_site_result(id, site_effect(args.code), now, args.code, args.message) end
fail_job(id, now, args.ttl_s, args.code, args.message)
return 1
