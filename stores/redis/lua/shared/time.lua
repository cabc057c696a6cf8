-- The present time of this Redis server in Unix ms: one clock for all processes, whatever their machines' clocks say.
local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
