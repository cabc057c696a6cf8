-- The page has accepted the prompt: STARTING -> PENDING. Idempotent.
-- args: id, claim_token
-- Returns the newest sequence number, or 0 if the attempt no longer holds the job.
if not holds_lease(args.id, args.claim_token) then return 0 end
if get(args.id, 'state') == 'PENDING' then return tonumber(get(args.id, 'seq')) end
set_state(args.id, 'PENDING')
return append_event(args.id, now_ms(), 'in_progress')
