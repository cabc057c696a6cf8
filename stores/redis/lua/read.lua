-- Read a job.
-- args: id; optional: brief (of the estimate only what is known of the site's circuit)
-- Returns false, or its JOB_FIELDS in order, followed by its queue_estimate while it is unfinished.
local values = redis.call('HMGET', key(args.id, 'job'), unpack(JOB_FIELDS))
local state = values[1]
if not state then return false end
if is_final(state) then return values end
local score = state == 'QUEUED' and job_ready_score(values[4], values[5] or 0)
local estimate = args.brief and brief_estimate(values[3]) or queue_estimate(args.id, state, values[3], values[2], score)
for _, value in ipairs(estimate) do values[#values + 1] = value end
return values
