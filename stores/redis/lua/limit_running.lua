-- Let jobs of an owner that wait already start under its present limit.
-- args: owner; optional: max_running (jobs of the owner that may run at once)
limit_running(args.owner, args.max_running and tostring(args.max_running) or false)
