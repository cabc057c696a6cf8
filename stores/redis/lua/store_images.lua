-- Store the finished images of the attempt that holds the job, replacing earlier ones.
-- args: id, claim_token, ttl_s (until the job is finished)
-- ARGV[2]: the first image as JPEG; ARGV[3] and further: the original bytes of each image
-- Returns 1, or 0 if the attempt no longer holds the job.
local job = load_job(args.id)
if not holds_lease(job, args.claim_token) then return 0 end
delete_images(job, now_ms())
redis.call('SET', key(job.id, 'image.jpg'), ARGV[2], 'EX', args.ttl_s)
for i = 3, #ARGV do redis.call('SET', key(job.id, image_part(i - 2)), ARGV[i], 'EX', args.ttl_s) end
set(job, 'pictures', #ARGV - 2)
save_job(job)
return 1
