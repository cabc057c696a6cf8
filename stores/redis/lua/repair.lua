-- Bring the indexes of waiting jobs into line with the records of the next so many unfinished jobs, in turn. That adopts
-- the jobs that an earlier version of this program, or one that still runs beside this one, has accepted.
-- args: limit, is_first (whether to begin with the oldest job)
-- Returns {1 if all have been looked at since that was asked for, ids without a record}.
local now, cursor = now_ms(), 'dr:repair'
if args.is_first then redis.call('DEL', cursor) end
local first = tonumber(redis.call('HGET', cursor, 'open') or 0)
local ids = redis.call('ZRANGE', 'dr:open', first, first + args.limit - 1)
local seen_owners, seen_places, orphans = {}, {}, {}

-- All places of the owner are brought into line at once, and the one at the site if it is none yet.
local function repair_owner(owner, site)
  local place = owner .. '|' .. site
  if seen_places[place] or seen_owners[owner] and redis.call('ZSCORE', 'dr:places', place) then return end
  seen_owners[owner], seen_places[place] = true, true
  refresh_owner(owner, nil, site)
end

local function repair_job(id)
  local job = load_job(id)
  if not job.state then
    orphans[#orphans + 1] = id
  elseif is_running(job.state) then
    -- Without a lease no sweep would find it.
    redis.call('ZADD', 'dr:leases', 'NX', now, id)
    if job.leaseOwner then hold(job, job.leaseOwner) end
  elseif job.state == 'QUEUED' then
    if not redis.call('ZSCORE', ready_key(job.site, job.owner), id) and not redis.call('ZSCORE', 'dr:due', id) then
      make_claimable(job)
    end
    repair_owner(job.owner, job.site)
  end
end

for _, id in ipairs(ids) do repair_job(id) end
-- Places whose jobs another version has claimed or cancelled.
local place = tonumber(redis.call('HGET', cursor, 'places') or 0)
local places = redis.call('ZRANGE', 'dr:places', place, place + args.limit - 1)
for _, each in ipairs(places) do
  local owner, site = each:match('^(.*)|([^|]*)$')
  repair_owner(owner, site)
end
for _, site in ipairs(redis.call('SMEMBERS', 'dr:sites')) do
  refresh_head(site)
  if redis.call('HEXISTS', 'dr:site:' .. site, 'retryAt') == 1 then
    redis.call('SADD', 'dr:circuits', site)
  else
    redis.call('SREM', 'dr:circuits', site)
  end
end
local is_last = #ids < args.limit
redis.call('HSET', cursor, 'open', is_last and 0 or first + #ids,
  'places', #places < args.limit and 0 or place + #places)
if is_last then redis.call('HSET', cursor, 'complete', 1) end
return {redis.call('HEXISTS', cursor, 'complete'), orphans}
