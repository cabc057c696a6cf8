-- Bring the indexes of waiting jobs into line with the records of the next so many unfinished jobs, in turn. That adopts
-- the jobs that an earlier version of this program, or one that still runs beside this one, has accepted.
-- args: limit, is_first (whether to begin with the oldest job)
-- Returns {1 if all have been looked at since that was asked for, ids without a record}.
local MAX_SITES = 10
local now, cursor = now_ms(), 'dr:repair'
if args.is_first then redis.call('DEL', cursor) end
local at = redis.call('HMGET', cursor, 'open', 'places', 'sites', 'complete')
local is_complete = at[4]
local seen_owners, seen_places, orphans = {}, {}, {}

-- All places of the owner are brought into line at once, and the one at the site if it is none yet.
local function repair_owner(owner, site)
  local place = owner .. '|' .. site
  if seen_places[place] or seen_owners[owner] and redis.call('ZSCORE', 'dr:places', place) then return end
  seen_owners[owner], seen_places[place] = true, true
  refresh_owner(owner, nil, site)
end

local function repair_queued(id, owner, site)
  if not redis.call('ZSCORE', ready_key(site, owner), id) and not redis.call('ZSCORE', 'dr:due', id) then
    make_claimable(load_job(id))
  end
end

-- Returns the owner and the site of a waiting job.
local function repair_job(id)
  local state, owner, site, worker = unpack(redis.call('HMGET', key(id, 'job'), 'state', 'owner', 'site', 'leaseOwner'))
  if not state then
    orphans[#orphans + 1] = id
  elseif is_running(state) then
    -- Without a lease no sweep would find it.
    redis.call('ZADD', 'dr:leases', 'NX', now, id)
    if worker then hold({id = id}, worker) end
  elseif state == 'QUEUED' then
    repair_queued(id, owner, site)
    return owner, site
  end
end

local function split_place(place) return place:match('^(.*)|([^|]*)$') end

-- Of places in order: a row for each (owner, site, the turn there), and the owners; each row knows its owner's number.
local function list_places(places)
  local rows, owners, numbers, at_site = {}, {}, {}, {}
  for i, place in ipairs(places) do
    local owner, site = split_place(place)
    if not numbers[owner] then
      owners[#owners + 1] = owner
      numbers[owner] = #owners
    end
    rows[i] = {owner = owner, number = numbers[owner], site = site}
    at_site[site] = at_site[site] or {}
    table.insert(at_site[site], rows[i])
  end
  for site, there in pairs(at_site) do
    local names = {}
    for i, row in ipairs(there) do names[i] = row.owner end
    for i, turn in ipairs(redis.call('ZMSCORE', 'dr:turns:' .. site, unpack(names))) do there[i].turn = turn end
  end
  return rows, owners
end

-- The owners of these places of which the indexes say something else than their ready sets. The first and the last owner
-- may have more places than these, and are always returned.
local function find_stale(places)
  local rows, owners = list_places(places)
  local fields, limits, counted = {}, {}, {}
  for i, row in ipairs(rows) do fields[i] = row.site .. '|' .. row.owner end
  for i, owner in ipairs(owners) do limits[i] = 'dr:most:' .. owner end
  local positions = redis.call('ZMSCORE', 'dr:positions', unpack(owners))
  local weights = redis.call('ZMSCORE', 'dr:weights', unpack(owners))
  local shares, rooms = redis.call('HMGET', 'dr:shares', unpack(fields)), redis.call('MGET', unpack(limits))
  local stale = {[owners[1]] = true, [owners[#owners]] = true}
  for i, row in ipairs(rows) do
    local number, ready = row.number, redis.call('ZCARD', ready_key(row.site, row.owner))
    local share = math.min(ready, rooms[number] and remaining_concurrency(row.owner) or math.huge)
    counted[number] = (counted[number] or 0) + ready
    local is_right = ready > 0 and tonumber(shares[i] or 0) == share
    if not is_right or row.turn ~= (share > 0 and positions[number]) then stale[row.owner] = true end
  end
  for number, owner in ipairs(owners) do
    if tonumber(weights[number] or 0) ~= counted[number] then stale[owner] = true end
  end
  return stale
end

local first = tonumber(at[1] or 0)
local ids = redis.call('ZRANGE', 'dr:open', first, first + args.limit - 1)
local waiting, new = {}, {}
for _, id in ipairs(ids) do
  local owner, site = repair_job(id)
  if owner and is_complete then waiting[#waiting + 1] = owner .. '|' .. site
  elseif owner then repair_owner(owner, site) end
end
if waiting[1] then new = redis.call('ZMSCORE', 'dr:places', unpack(waiting)) end
for i, place in ipairs(waiting) do
  if not new[i] then repair_owner(split_place(place)) end
end

-- Places whose jobs another version has claimed or cancelled.
local place = tonumber(at[2] or 0)
local places = redis.call('ZRANGE', 'dr:places', place, place + args.limit - 1)
local stale = is_complete and places[1] and find_stale(places)
for _, each in ipairs(places) do
  local owner, site = split_place(each)
  if not stale or stale[owner] then repair_owner(owner, site) end
end

local sites, site = redis.call('SMEMBERS', 'dr:sites'), tonumber(at[3] or 0)
for i = is_complete and site + 1 or 1, is_complete and math.min(#sites, site + MAX_SITES) or #sites do
  refresh_head(sites[i])
  if redis.call('HEXISTS', 'dr:site:' .. sites[i], 'retryAt') == 1 then
    redis.call('SADD', 'dr:circuits', sites[i])
  else
    redis.call('SREM', 'dr:circuits', sites[i])
  end
end
local is_last = #ids < args.limit
redis.call('HSET', cursor, 'open', is_last and 0 or first + #ids,
  'places', #places < args.limit and 0 or place + #places,
  'sites', site + MAX_SITES < #sites and site + MAX_SITES or 0)
if is_last then redis.call('HSET', cursor, 'complete', 1) end
return {(is_last or is_complete) and 1 or 0, orphans}
