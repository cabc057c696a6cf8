-- A running page showed progress or a preview.
-- ARGV: id, now, claim, event type, data as JSON, TTL of the bytes, preview bytes or ''
-- Returns seq, or 0 if the attempt no longer holds the job.
local id, now, claim, kind, data = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
if not holds(id, claim) then return 0 end
if kind == 'preview' then
  redis.call('SET', key(id, 'preview'), ARGV[7], 'EX', ARGV[6])
else
  set(id, 'progress', data)
end
local seq = append(id, now, kind, data)
-- A preview's version is the number of its event, so that every view names the same one.
if kind == 'preview' then set(id, 'previewVersion', seq) end
return seq
