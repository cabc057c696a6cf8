-- Let no job of a site start, and no other visit begin, for a while; never shortens a pause.
-- args: site, pause_ms
local site, until_ms = 'dr:site:' .. args.site, now_ms() + args.pause_ms
for _, field in ipairs({'nextAt', 'pausedUntil'}) do
  if tonumber(redis.call('HGET', site, field) or 0) < until_ms then redis.call('HSET', site, field, digits(until_ms)) end
end
