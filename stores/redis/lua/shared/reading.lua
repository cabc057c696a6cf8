-- What reads. Put before every script by stores/redis/scripts.py, after FIELDS, the hash's field names from stores/redis/keys.py.
--
-- dr:{id}:job      hash   the job; the truth
-- dr:{id}:events   stream its log; the entry id is SEQ-0
-- dr:{id}:preview, dr:{id}:image (further ones image.2, image.3, ...), dr:{id}:image.FORMAT, dr:{id}:failure, dr:{id}:trace   bytes
-- dr:{id}:gone     marks that the job once was, long after the rest has expired
-- dr:feed:OWNER    stream the events of all jobs of one owner, in the order in which they happened
-- dr:open          zset   unfinished jobs by submission time
-- dr:open:OWNER    zset   the same, of one owner
-- dr:jobs:OWNER    zset   all jobs of one owner by submission time
-- dr:ready:SITE|OWNER  zset  jobs that may be claimed, in the order of their claims
-- dr:turns:SITE    zset   owners of such jobs by their turn     dr:turn   the newest turn
-- dr:due           zset   queued jobs that may be claimed only from that time on
-- dr:leases        zset   running jobs by the end of their lease     dr:leases:SITE   the same, of one site
-- dr:sites         set    sites that have had a job
-- dr:site:SITE     hash   nextAt, runMs, and the circuit: failures, openedAt, retryAt, delay, canary, code, error
-- dr:started:SITE:DAY  jobs started that day (UTC, days since 1970)
-- dr:slots         jobs that the living workers can have in hand together
-- dr:claim:TOKEN   job that a claim got, should its answer get lost
-- dr:idem:OWNER:KEY   job of an idempotency key, and its body's digest
-- dr:usage:OWNER:DAY, dr:usage:OWNER:WEEK  pictures accepted in that time, but for those that failed
-- dr:most:OWNER    most jobs of the owner that may run at once, if there is a limit     dr:running:OWNER  set  those that run
-- dr:counts        hash   SITE|STATE -> open jobs now
-- dr:ended         hash   SITE|STATE|CODE -> jobs ended so far
-- dr:histogram:NAME   hash   bucket -> observations, plus sum
-- dr:matched:SITE   hash   place of the recipe -> alternative that found it in the last good run
-- dr:drift:SITE     list   changes of these, the newest first      dr:canary:SITE   hash   job, outcome
-- dr:outbox        stream what webhooks may have to be told of: until it is in SQL
-- dr:subscribed    set    "OWNER TYPE" of the events, other than ends, that somebody's webhook wants
-- dr:login:HASH     string who is signed in by the token of that hash    dr:logins:OWNER  zset  all such keys of a caller, by their end
-- dr:changes       channel: "ID SEQ OWNER" after each event      dr:cancels  channel: ID

local function key(id, part) return 'dr:{' .. id .. '}:' .. part end

local function get(id, name) return redis.call('HGET', key(id, 'job'), name) end

local function final(state) return state == 'COMPLETED' or state == 'FAILED' end

local function running(state) return state == 'STARTING' or state == 'PENDING' end

local function ready_key(site, owner) return 'dr:ready:' .. site .. '|' .. owner end

local function sites() return redis.call('SMEMBERS', 'dr:sites') end

-- Which limit forbids one more job, or nothing. limits: most open jobs, most open of the owner, where the owner's pictures of
-- the day are counted, most a day, where those of the week are, most a week; of the owner's, -1 means no limit.
local function limit_reached(owner, limits)
  local most_owned, most_daily, most_weekly = tonumber(limits[2]), tonumber(limits[4]), tonumber(limits[6])
  if redis.call('ZCARD', 'dr:open') >= tonumber(limits[1]) then return 'full' end
  if most_owned >= 0 and redis.call('ZCARD', 'dr:open:' .. owner) >= most_owned then return 'queued' end
  if most_weekly >= 0 and (tonumber(redis.call('GET', limits[5])) or 0) >= most_weekly then return 'weekly' end
  if most_daily >= 0 and (tonumber(redis.call('GET', limits[3])) or 0) >= most_daily then return 'daily' end
end

-- Where a job stands among its owner's: by priority, then by age; one that was taken back stands before all.
local function place_of(age, priority) return string.format('%.0f', age - priority * 1e13) end

local function rank(id, first)
  local about = redis.call('HMGET', key(id, 'job'), 'priority', 'startTime')
  local age = tonumber(about[2])
  return first and string.format('%.0f', age - 1e15) or place_of(age, tonumber(about[1] or 0))
end

-- How many jobs are claimed before one at that place of its owner's if every site but those with an open circuit goes on
-- as it does.
local function ahead(place, own, owner)
  local turn = tonumber(redis.call('ZSCORE', 'dr:turns:' .. own, owner) or 'inf')
  local mine, others = 0, {}
  for _, site in ipairs(sites()) do
    if site == own or redis.call('HEXISTS', 'dr:site:' .. site, 'retryAt') == 0 then
      mine = mine + redis.call('ZCOUNT', ready_key(site, owner), '-inf', '(' .. place)
      local turns = redis.call('ZRANGE', 'dr:turns:' .. site, 0, -1, 'WITHSCORES')
      for i = 1, #turns, 2 do
        if turns[i] ~= owner then
          local other = others[turns[i]] or {waiting = 0, turn = tonumber(turns[i + 1])}
          other.waiting = other.waiting + redis.call('ZCARD', ready_key(site, turns[i]))
          others[turns[i]] = other
        end
      end
    end
  end
  local before = mine
  for _, other in pairs(others) do
    before = before + math.min(other.waiting, mine + (other.turn < turn and 1 or 0))
  end
  return before
end

-- What an unfinished job has before it: how many jobs are claimed before it (false unless it waits), runMs, retryAt and
-- error of its site, how many jobs run, how many could run.
local function outlook(id, state, site_name, owner)
  local site = redis.call('HMGET', 'dr:site:' .. site_name, 'runMs', 'retryAt', 'error')
  local before = false
  if state == 'QUEUED' then
    before = ahead(redis.call('ZSCORE', ready_key(site_name, owner), id) or rank(id), site_name, owner)
  end
  return {before, site[1], site[2], site[3], redis.call('ZCARD', 'dr:leases'), redis.call('GET', 'dr:slots')}
end
