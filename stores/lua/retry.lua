-- Back to the queue for a further attempt at a due time.
-- ARGV: id, now, attempt, due, code, message, failure bundle or '', TTL, 1 if the delivery does not count
-- Returns 1, or 0 if the attempt no longer holds the job.
local id, now, attempt, due = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
if not holds(id, attempt) then return 0 end
if ARGV[7] ~= '' then redis.call('SET', key(id, 'failure'), ARGV[7], 'EX', ARGV[8]) end
if ARGV[9] == '1' then redis.call('HINCRBY', key(id, 'job'), 'deliveries', -1) end
release(id, now, due, tonumber(ARGV[8]), {attempt = tonumber(attempt), code = ARGV[5], message = ARGV[6], due = due})
return 1
