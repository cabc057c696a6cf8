-- Back to the queue for a further attempt at a due time.
-- ARGV: id, now, claim, due, code, message, failure bundle or '', TTL, 1 if this is no retry: the worker stops
-- Returns 1, or 0 if the attempt no longer holds the job.
local id, now, claim, due = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
if not holds(id, claim) then return 0 end
if ARGV[7] ~= '' then redis.call('SET', key(id, 'failure'), ARGV[7], 'EX', ARGV[8]) end
redis.call('HINCRBY', key(id, 'job'), 'deliveries', -1)
if ARGV[9] == '0' then redis.call('HINCRBY', key(id, 'job'), 'retries', 1) end
judge(id, verdict_of(ARGV[5]), now, ARGV[5], ARGV[6])
release(id, now, due, tonumber(ARGV[8]), {attempt = tonumber(get(id, 'attempt')), code = ARGV[5], message = ARGV[6], due = due}, ARGV[9] == '1')
return 1
