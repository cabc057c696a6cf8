-- args: site
-- Returns {the milliseconds until the next visit of the site may begin, those until the pause ends that it has asked for}.
local now, remaining = now_ms(), {}
for i, at in ipairs(redis.call('HMGET', 'dr:site:' .. args.site, 'nextAt', 'pausedUntil')) do
  remaining[i] = math.max(0, tonumber(at or 0) - now)
end
return remaining
