-- End a job that has waited too long since it was accepted or requeued.
-- args: id, max_wait_ms, ttl_s, code, message
-- Returns 1 if the job has ended, 0 if it may still wait or runs, -1 if it has no record.
return expire_job(args.id, now_ms())
