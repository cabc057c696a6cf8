-- PENDING -> COMPLETED, for the attempt that holds the job and has put its picture.
-- ARGV: id, now, attempt, TTL, data of the event, field, value...  Returns 1, or 0 if it may not.
local id, now, attempt, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
if not holds(id, attempt) then return 0 end
if redis.call('EXISTS', key(id, 'image'), key(id, 'image.jpg')) < 2 then return 0 end
finish(id, now, 'COMPLETED', ttl, 'completed', ARGV[5], {unpack(ARGV, 6)})
return 1
