-- Take the next turn to visit a site, unless that is too far away.
-- args: site, interval_ms (between the begins of two visits), max_wait_ms; optional: shared (other servers have jobs of
--       the site too)
-- Returns the milliseconds until the visit may begin; more than max_wait_ms if no turn was taken; -1 if this server has
-- to be given the right to visit the site first, for which it asks.
local site, now = 'dr:site:' .. args.site, now_ms()
if args.shared and args.interval_ms > 0
    and not (redis.call('HGET', 'dr:allotments', args.site) or ''):match(' 1$') then
  redis.call('HSET', site, 'wantedAt', digits(now))
  return -1
end
local begin = math.max(now, tonumber(redis.call('HGET', site, 'nextAt') or 0))
if begin - now <= args.max_wait_ms and args.interval_ms > 0 then
  redis.call('HSET', site, 'nextAt', digits(begin + args.interval_ms))
end
return begin - now
