-- Cancel a job: at once while it waits, by request while it runs.
-- ARGV: id, now, TTL.  Returns 'cancelled' | 'requested' | 'ended' | 'gone'
local id, now = ARGV[1], tonumber(ARGV[2])
local state = get(id, 'state')
if not state then return 'gone' end
if final(state) then return 'ended' end
if not get(id, 'cancelRequestedAt') then set(id, 'cancelRequestedAt', ARGV[2]) end
if running(state) then
  redis.call('PUBLISH', 'dr:cancels', id)
  return 'requested'
end
fail(id, now, tonumber(ARGV[3]), 'cancelled', '')
return 'cancelled'
