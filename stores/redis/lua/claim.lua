-- Take the next job for one attempt, under a lease. Owners take turns; within an owner priority and age decide.
-- ARGV: now, lease in ms, worker, token of this claim, most deliveries, TTL, then of each site: name, most at once, pause in ms,
--       most a day
-- Returns {id, its FIELDS in order}, or nothing if there is no job that may start.
local now, until_ms, worker, token = tonumber(ARGV[1]), tonumber(ARGV[1]) + tonumber(ARGV[2]), ARGV[3], ARGV[4]

local function taken(id) return {id, redis.call('HMGET', key(id, 'job'), unpack(FIELDS))} end

-- Asked once more, because the answer got lost: the job is the asker's only as long as nobody else has taken it since.
local claimed = redis.call('GET', 'dr:claim:' .. token)
if claimed and get(claimed, 'claimToken') == token then return taken(claimed) end
if claimed then return {} end

-- Whose turn it is at a site, and that turn: the first of those who may have one more job running.
local function first_with_room(site)
  local place = 0
  while true do
    local head = redis.call('ZRANGE', 'dr:turns:' .. site, place, place, 'WITHSCORES')
    if not head[1] or room_of(head[1]) > 0 then return head end
    place = place + 1
  end
end

local function next_in_turn()
  local best
  for i = 7, #ARGV, 4 do
    local head = first_with_room(ARGV[i])
    if head[1] and not blocked(ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 3]), now) then
      local ready = redis.call('ZRANGE', ready_key(ARGV[i], head[1]), 0, 0, 'WITHSCORES')
      local one = {site = ARGV[i], pause = tonumber(ARGV[i + 2]), daily = tonumber(ARGV[i + 3]), owner = head[1], turn = tonumber(head[2]),
        rank = tonumber(ready[2] or 'inf')}
      if not best or one.turn < best.turn or one.turn == best.turn and one.rank < best.rank then best = one end
    end
  end
  return best
end

local function start(id, chosen)
  redis.call('HINCRBY', key(id, 'job'), 'deliveries', 1)
  local attempt = redis.call('HINCRBY', key(id, 'job'), 'attempt', 1)
  local waited = now - tonumber(get(id, 'queuedAt'))
  move(id, 'STARTING')
  set(id, 'leaseOwner', worker, 'claimToken', token, 'startedAt', ARGV[1])
  lease(id, until_ms)
  redis.call('SET', 'dr:claim:' .. token, id, 'PX', CLAIM_KEPT_MS)
  local site = 'dr:site:' .. chosen.site
  if redis.call('HEXISTS', site, 'retryAt') == 1 then redis.call('HSET', site, 'canary', id) end
  if chosen.pause > 0 then redis.call('HSET', site, 'nextAt', string.format('%.0f', now + chosen.pause)) end
  if chosen.daily > 0 then
    redis.call('INCR', day_key(chosen.site, now))
    redis.call('EXPIRE', day_key(chosen.site, now), 172800)
  end
  observe('pickup', math.max(0, waited) / 1000)
  append(id, now, 'starting', cjson.encode({attempt = attempt}))
end

while true do
  local chosen = next_in_turn()
  if not chosen then return {} end
  local id = redis.call('ZPOPMIN', ready_key(chosen.site, chosen.owner))[1]
  drop_turn(chosen.site, chosen.owner)
  give_turn(chosen.owner, redis.call('INCR', 'dr:turn'))
  if id and get(id, 'state') == 'QUEUED' then
    if tonumber(get(id, 'deliveries')) < tonumber(ARGV[5]) then
      start(id, chosen)
      return taken(id)
    end
    fail(id, now, tonumber(ARGV[6]), 'worker_lost', '')
  end
end
