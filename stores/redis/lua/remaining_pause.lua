-- args: site
-- Returns the milliseconds until the next visit of the site may begin.
return math.max(0, tonumber(redis.call('HGET', 'dr:site:' .. args.site, 'nextAt') or 0) - now_ms())
