-- PENDING -> COMPLETED, for the attempt that holds the job and has put its picture.
-- ARGV: id, now, claim, TTL, data of the event, field, value...  Returns 1, also when it was so already, or 0 if it may not.
local id, now, claim, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
if get(id, 'state') == 'COMPLETED' and get(id, 'endedBy') == claim then return 1 end
if not holds(id, claim) then return 0 end
if redis.call('EXISTS', key(id, 'image'), key(id, 'image.jpg')) < 2 then return 0 end
judge(id, 'works', now)
learn_run_time(id, now)
finish(id, now, 'COMPLETED', ttl, 'completed', ARGV[5], {unpack(ARGV, 6)})
return 1
