-- Keep the finished picture of the attempt that holds the job.
-- ARGV: id, attempt, TTL until it is finished, original bytes, JPEG bytes.  Returns 1, or 0 if it no longer holds.
local id, attempt, ttl = ARGV[1], ARGV[2], ARGV[3]
if not holds(id, attempt) then return 0 end
redis.call('SET', key(id, 'image'), ARGV[4], 'EX', ttl)
redis.call('SET', key(id, 'image.jpg'), ARGV[5], 'EX', ttl)
return 1
