-- What would become of a job that was submitted now; nothing is made.
-- ARGV: site, owner, now, priority, the six of limit_reached
-- Returns {which limit forbids it or '', how many jobs are claimed before it}
local site, owner, now = ARGV[1], ARGV[2], tonumber(ARGV[3])
return {limit_reached(owner, {unpack(ARGV, 5)}) or '', ahead(place_of(now, tonumber(ARGV[4])), site, owner)}
