-- What would happen to a job that was submitted now; nothing is written.
-- args: site, owner, priority, limits (see limit_reached), room (as in create.lua)
-- Returns {the limit that forbids it or '', the number of jobs ahead of it, 1 if that is an estimate}.
local score = ready_score(now_ms(), args.priority)
return {limit_reached(args.owner, args.limits, args.room) or '', jobs_ahead(nil, score, args.site, args.owner)}
