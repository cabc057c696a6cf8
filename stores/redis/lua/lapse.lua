-- Take a job back from an attempt whose lease is over or whose worker is dead.
-- ARGV: id, now, worker known to be dead or '', TTL.  Returns 1 if it was taken back.
local id, now, dead = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if not running(get(id, 'state')) then
  redis.call('ZREM', 'dr:leases', id)
  for _, site in ipairs(sites()) do redis.call('ZREM', 'dr:leases:' .. site, id) end
  return 0
end
local over = (tonumber(get(id, 'leaseUntil')) or 0) <= now
if not over and (dead == '' or get(id, 'leaseOwner') ~= dead) then return 0 end
release(id, now, now, tonumber(ARGV[4]), {attempt = tonumber(get(id, 'attempt')), code = 'worker_lost',
  message = 'The worker that had taken this job is gone.', due = now}, true)
return 1
