-- Take a queued job for one attempt, under a lease.
-- ARGV: id, now, lease in ms, worker, most deliveries, TTL
-- Returns {'claimed', attempt} | {'gone'} | {'held'} | {'ended'} | {'early'} | {'lost'}
local id, now, lease, worker = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local state = get(id, 'state')
if not state then return {'gone'} end
if final(state) then return {'ended'} end
if running(state) then return {'held'} end
local queued = tonumber(get(id, 'queuedAt'))
if queued > now and redis.call('ZSCORE', 'dr:outbox', id) then return {'early'} end
if tonumber(get(id, 'deliveries')) >= tonumber(ARGV[5]) then
  fail(id, now, tonumber(ARGV[6]), 'worker_lost', '')
  return {'lost'}
end
local attempt = redis.call('HINCRBY', key(id, 'job'), 'attempt', 1)
redis.call('HINCRBY', key(id, 'job'), 'deliveries', 1)
move(id, 'STARTING')
set(id, 'leaseOwner', worker, 'leaseUntil', string.format('%.0f', now + lease), 'startedAt', ARGV[2])
redis.call('ZADD', 'dr:leases', now + lease, id)
redis.call('ZREM', 'dr:outbox', id)
observe('pickup', math.max(0, now - queued) / 1000)
append(id, now, 'starting', cjson.encode({attempt = attempt}))
return {'claimed', attempt}
