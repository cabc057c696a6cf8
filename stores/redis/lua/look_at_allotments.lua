-- What one of several servers has of the limits that they share, for the process that divides these.
-- args: allotter (the process), lock_ms, sites (names), day (UTC, days since 1970)
-- Returns {1 if the process may divide them, else 0; open jobs; the most that may be open, or false; for each site
-- {running, waiting, allotment, jobs started that day, its nextAt, pausedUntil, wantedAt, openedAt, retryAt, delay,
-- failures, code, error}}.
local holder = redis.call('GET', 'dr:allotter')
local may_divide = not holder or holder == args.allotter
if may_divide then redis.call('SET', 'dr:allotter', args.allotter, 'PX', args.lock_ms) end
local answer = {may_divide and 1 or 0, redis.call('ZCARD', 'dr:open'), redis.call('GET', 'dr:room')}
for i, site in ipairs(args.sites) do
  answer[i + 3] = {redis.call('ZCARD', 'dr:leases:' .. site), redis.call('HGET', 'dr:claimable', site),
    redis.call('HGET', 'dr:allotments', site), redis.call('GET', 'dr:started:' .. site .. ':' .. args.day),
    unpack(redis.call('HMGET', 'dr:site:' .. site, 'nextAt', 'pausedUntil', 'wantedAt', 'openedAt', 'retryAt', 'delay',
      'failures', 'code', 'error'))}
end
return answer
