-- List unfinished jobs that were accepted longer ago than jobs may wait; some of them may have no record.
-- args: max_wait_ms, limit
-- Returns {id, ...}.
return redis.call('ZRANGEBYSCORE', 'dr:open', '-inf', now_ms() - args.max_wait_ms, 'LIMIT', 0, args.limit)
