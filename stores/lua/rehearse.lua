-- What would become of a job that was submitted now; nothing is made.
-- ARGV: site, owner, now, priority, most open jobs, most open of the owner, usage key, most that day
-- Returns {which limit forbids it or '', how many jobs are claimed before it}
local site, owner, now = ARGV[1], ARGV[2], tonumber(ARGV[3])
local most, most_owned, usage, most_daily = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])
return {limit_reached(owner, most, most_owned, usage, most_daily) or '', ahead(place_of(now, tonumber(ARGV[4])), site, owner)}
