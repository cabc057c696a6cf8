-- Lengthen the lease of an attempt.
-- ARGV: id, now, attempt, lease in ms.  Returns 1 while it holds the job, 0 when it does not, 2 when it was cancelled.
local id, now, attempt, lease = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
if not holds(id, attempt) then return 0 end
set(id, 'leaseUntil', string.format('%.0f', now + lease))
redis.call('ZADD', 'dr:leases', now + lease, id)
if get(id, 'cancelRequestedAt') then return 2 end
return 1
