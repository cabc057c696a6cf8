-- Take a job back from an attempt whose lease has expired or whose worker is dead.
-- args: id, ttl_s, max_deliveries; optional: dead_worker
-- Returns 1 if the job was requeued or ended, else 0.
return take_back(args.id, now_ms(), args.dead_worker) and 1 or 0
