-- The page has accepted the prompt: STARTING -> PENDING. Idempotent.
-- args: id, claim_token
-- Returns the newest sequence number, or 0 if the attempt no longer holds the job.
local job = load_job(args.id, FOR_LEASE)
if not holds_lease(job, args.claim_token) then return 0 end
if job.state == 'PENDING' then return tonumber(job.seq) end
set_state(job, 'PENDING')
local seq = append_event(job, now_ms(), 'in_progress')
save_job(job)
return seq
