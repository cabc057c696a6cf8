-- The page has taken the prompt: STARTING -> PENDING.
-- ARGV: id, now, claim.  Returns seq, also when it was so already, or 0 if the attempt no longer holds the job.
local id, now, claim = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if not holds(id, claim) then return 0 end
if get(id, 'state') == 'PENDING' then return tonumber(get(id, 'seq')) end
move(id, 'PENDING')
return append(id, now, 'in_progress')
