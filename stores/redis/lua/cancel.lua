-- Cancel a job: at once while it is queued, by request while it runs.
-- args: id, ttl_s
-- Returns 'cancelled' | 'requested' | 'ended' | 'gone'.
local id = args.id
local state = get(id, 'state')
if not state then return 'gone' end
if is_final(state) then return 'ended' end
if not get(id, 'cancelRequestedAt') then set(id, 'cancelRequestedAt', digits(now_ms())) end
if is_running(state) then
  redis.call('PUBLISH', 'dr:cancels', id)
  return 'requested'
end
fail_job(id, now_ms(), args.ttl_s, 'cancelled', '')
return 'cancelled'
