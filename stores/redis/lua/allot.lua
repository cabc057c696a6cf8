-- Give one of several servers its part of the limits that they share.
-- args: allotter (see look_at_allotments.lua), lock_ms, until_ms (when the parts of sites end), day; sites (rows of site,
--       jobs that may run, 1 if jobs may start or else 0, nextAt, jobs started that day); optional: room (jobs that may
--       be open)
-- Returns {open jobs, for each row {running, nextAt, jobs started that day}}, or false if another process divides them.
if redis.call('GET', 'dr:allotter') ~= args.allotter then return false end
redis.call('PEXPIRE', 'dr:allotter', args.lock_ms)
if args.room then redis.call('SET', 'dr:room', digits(args.room)) end
local answer = {redis.call('ZCARD', 'dr:open')}
redis.call('DEL', 'dr:allotments')
for i, row in ipairs(args.sites) do
  local name, permits, starts = row[1], row[2], row[3]
  local site, started = 'dr:site:' .. name, 'dr:started:' .. name .. ':' .. args.day
  -- What the server that could start jobs before has done since.
  if tonumber(redis.call('HGET', site, 'nextAt') or 0) < row[4] then redis.call('HSET', site, 'nextAt', digits(row[4])) end
  if tonumber(redis.call('GET', started) or 0) < row[5] then redis.call('SET', started, row[5], 'EX', 2 * 86400) end
  redis.call('HSET', 'dr:allotments', name, digits(permits) .. ' ' .. starts)
  -- The next claim looks at the site again.
  redis.call('ZADD', 'dr:resting', 'XX', 0, name)
  answer[i + 1] = {redis.call('ZCARD', 'dr:leases:' .. name), redis.call('HGET', site, 'nextAt'),
    redis.call('GET', started)}
end
redis.call('PEXPIREAT', 'dr:allotments', digits(args.until_ms))
return answer
