-- Let no job of a site start, and no other visit begin, for a while; never shortens a pause.
-- args: site, pause_ms
local site, next_at = 'dr:site:' .. args.site, now_ms() + args.pause_ms
if (tonumber(redis.call('HGET', site, 'nextAt') or 0)) < next_at then
  redis.call('HSET', site, 'nextAt', digits(next_at))
end
