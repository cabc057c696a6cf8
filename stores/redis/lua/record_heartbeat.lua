-- A process is alive: record the time and its status in a pair of keys.
-- args: index (zset: processes by the time of their last heartbeat), details (hash: their status), name, status (JSON),
--       forget_after_ms (without a heartbeat)
local now = now_ms()
-- Old ones accumulate only as new ones come.
if redis.call('ZADD', args.index, now, args.name) == 1 then
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', args.index, '-inf', now - args.forget_after_ms)) do
    redis.call('ZREM', args.index, name)
    redis.call('HDEL', args.details, name)
  end
end
redis.call('HSET', args.details, args.name, args.status)
