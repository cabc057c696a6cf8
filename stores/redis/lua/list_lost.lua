-- List running jobs that may have lost their worker.
-- args: limit; leases, heartbeats: whether each is looked at; dead_after_ms (without a heartbeat)
-- Returns {id, dead worker or '' if the lease has expired, id, ...}.
local now, lost = now_ms(), {}
if args.leases then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'dr:leases', '-inf', now, 'LIMIT', 0, args.limit)) do
    lost[#lost + 1] = id
    lost[#lost + 1] = ''
  end
end
if args.heartbeats then
  for _, id in ipairs(redis.call('ZRANGE', 'dr:leases', 0, -1)) do
    local worker = get(id, 'leaseOwner')
    local heartbeat = worker and tonumber(redis.call('ZSCORE', 'dr:workers', worker) or 0)
    if worker and heartbeat < now - args.dead_after_ms then
      lost[#lost + 1] = id
      lost[#lost + 1] = worker
    end
  end
end
return lost
