-- Store the limits of sites under a digest of them, so that claims need not send them all.
-- args: rules (the digest), ttl_s
-- ARGV[2] and further: site, 'CONCURRENCY INTERVAL_MS DAILY' (0 means no limit), ...
local rules = 'dr:rules:' .. args.rules
redis.call('HSET', rules, unpack(ARGV, 2))
redis.call('EXPIRE', rules, args.ttl_s)
