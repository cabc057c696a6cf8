-- Store the finished images of the attempt that holds the job, replacing earlier ones.
-- args: id, claim_token, ttl_s (until the job is finished)
-- ARGV[2]: the first image as JPEG; ARGV[3] and further: the original bytes of each image
-- Returns 1, or 0 if the attempt no longer holds the job.
local id = args.id
if not holds_lease(id, args.claim_token) then return 0 end
delete_images(id)
redis.call('SET', key(id, 'image.jpg'), ARGV[2], 'EX', args.ttl_s)
for i = 3, #ARGV do redis.call('SET', key(id, image_part(i - 2)), ARGV[i], 'EX', args.ttl_s) end
set(id, 'pictures', #ARGV - 2)
return 1
