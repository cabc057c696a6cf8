-- Read a job.
-- args: id
-- Returns false, or its JOB_FIELDS in order, followed by its queue_estimate while it is unfinished.
local values = redis.call('HMGET', key(args.id, 'job'), unpack(JOB_FIELDS))
local state = values[1]
if not state then return false end
if is_final(state) then return values end
for _, value in ipairs(queue_estimate(args.id, state, values[3], values[2])) do values[#values + 1] = value end
return values
