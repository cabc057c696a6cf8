-- List the processes with a recent heartbeat.
-- args: index, details (see record_heartbeat.lua), dead_after_ms (without a heartbeat)
-- Returns {status (JSON), ...}.
local names = redis.call('ZRANGEBYSCORE', args.index, now_ms() - args.dead_after_ms, '+inf')
if #names == 0 then return {} end
local alive = {}
for _, status in ipairs(redis.call('HMGET', args.details, unpack(names))) do
  if status then alive[#alive + 1] = status end
end
return alive
