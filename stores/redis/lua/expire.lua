-- End a job that has waited too long since it was accepted or requeued.
-- args: id, max_wait_ms, ttl_s, code, message
-- Returns 1 if the job has ended, 0 if it may still wait or runs, -1 if it has no record.
local id, now = args.id, now_ms()
local fields = redis.call('HMGET', key(id, 'job'), 'state', 'queuedAt')
if not fields[1] then return -1 end
if fields[1] ~= 'QUEUED' or tonumber(fields[2]) > now - args.max_wait_ms then return 0 end
fail_job(id, now, args.ttl_s, args.code, args.message)
return 1
