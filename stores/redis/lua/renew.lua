-- Lengthen the lease of an attempt.
-- ARGV: id, now, claim, lease in ms.  Returns 1 while it holds the job, 0 when it does not, 2 when it was cancelled.
local id, now, claim = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if not holds(id, claim) then return 0 end
lease(id, now + tonumber(ARGV[4]))
if get(id, 'cancelRequestedAt') then return 2 end
return 1
