-- The page has taken the prompt: STARTING -> PENDING.
-- ARGV: id, now, attempt.  Returns seq, or 0 if the attempt no longer holds the job.
local id, now, attempt = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if not holds(id, attempt) or get(id, 'state') ~= 'STARTING' then return 0 end
move(id, 'PENDING')
return append(id, now, 'pending')
