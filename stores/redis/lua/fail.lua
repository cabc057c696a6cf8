-- End a job as FAILED: by the attempt that holds it, or, with claim '', while it still waits.
-- ARGV: id, now, claim, TTL, code, message, failure bundle or ''
-- Returns 1, or 0 if it may not.
local id, now, claim, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local state = get(id, 'state')
if claim == '' and state ~= 'QUEUED' then return 0 end
if claim ~= '' and not holds(id, claim) then return 0 end
if ARGV[7] ~= '' then redis.call('SET', key(id, 'failure'), ARGV[7]) end
if claim ~= '' then judge(id, verdict_of(ARGV[5]), now, ARGV[5], ARGV[6]) end
fail(id, now, ttl, ARGV[5], ARGV[6])
return 1
