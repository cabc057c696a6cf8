-- What create, status, refill and claim cost when they look at every caller who waits: the walks alone, without the
-- records that they also read and write. ARGV[1]: the walk; ARGV[2]: the site; ARGV[3]: the caller.
local walk, site, owner = ARGV[1], ARGV[2], ARGV[3]

local function ready_key(each) return 'dr:ready:' .. site .. '|' .. each end

local function room(each)
  local limit = redis.call('GET', 'dr:most:' .. each)
  return limit and math.max(0, tonumber(limit) - redis.call('SCARD', 'dr:running:' .. each)) or math.huge
end

if walk == 'position' then
  local ahead, turns = 0, redis.call('ZRANGE', 'dr:positions', 0, -1, 'WITHSCORES')
  local position = tonumber(redis.call('ZSCORE', 'dr:positions', owner) or 'inf')
  for i = 1, #turns, 2 do
    if turns[i] ~= owner then
      local before = tonumber(turns[i + 1]) < position and 1 or 0
      ahead = ahead + math.min(redis.call('ZCARD', ready_key(turns[i])), before)
    end
  end
  return ahead
elseif walk == 'refill' then
  local jobs = 0
  for _, each in ipairs(redis.call('ZRANGE', 'dr:positions', 0, -1)) do
    jobs = jobs + math.min(redis.call('ZCARD', ready_key(each)), room(each))
  end
  return jobs == math.huge and -1 or jobs
end
local index = 0
while true do
  local head = redis.call('ZRANGE', 'dr:positions', index, index)
  if not head[1] or room(head[1]) > 0 then return head[1] or '' end
  index = index + 1
end
