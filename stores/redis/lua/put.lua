-- Keep the finished pictures of the attempt that holds the job.
-- ARGV: id, claim, TTL until it is finished, JPEG bytes of the first, original bytes of each.
-- Returns 1, or 0 if it no longer holds.
local id, claim, ttl = ARGV[1], ARGV[2], ARGV[3]
if not holds(id, claim) then return 0 end
forget_pictures(id)
redis.call('SET', key(id, 'image.jpg'), ARGV[4], 'EX', ttl)
for i = 5, #ARGV do redis.call('SET', key(id, picture(i - 4)), ARGV[i], 'EX', ttl) end
set(id, 'pictures', #ARGV - 4)
return 1
