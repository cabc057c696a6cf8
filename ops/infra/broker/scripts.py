"""The Lua scripts of the broker: Dramatiq's own one with additions, two that replace parts of it, and one of ours."""

from pathlib import Path

import dramatiq.brokers

MAX_WAKEUP_TOKENS = 64
# What is not taken until then was for a process that has died, and the maintenance has replaced it.
TOKEN_TTL_MS = 10_000
# A little less than the interval of the heartbeats, so that each round of them does it once.
MAINTENANCE_INTERVAL_MS = 900

# Give a token to any one of the consumers that wait, or to all of them if none has said that it does. A process whose
# heartbeat has expired gets none. The script that accepts a job has this function too.
RING_LUA = f"""
local function ring(bell, heartbeats)
    local consumer
    repeat
        consumer = redis.call('spop', bell .. ':waiting')
    until not consumer or redis.call('zscore', heartbeats, consumer)
    if consumer then bell = bell .. ':' .. consumer end
    if redis.call('rpush', bell, '') > {MAX_WAKEUP_TOKENS} then
        redis.call('ltrim', bell, -{MAX_WAKEUP_TOKENS}, -1)
    end
    if consumer then redis.call('pexpire', bell, {TOKEN_TTL_MS}) end
end
"""

# Prepended to Dramatiq's own script. ARGV[1] is the command, ARGV[3] the queue. ARGV[2], the time of the heartbeat in
# ms, is replaced by Redis' own time, because the clocks of machines differ. The first heartbeat of each interval does
# the maintenance of its queue (ARGV[7]), so that its cost does not grow with the number of processes.
PREPENDED_LUA = f"""
local time = redis.call('time')
ARGV[2] = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
if ARGV[1] == 'heartbeat' then
    local turn = KEYS[1] .. ':maintained:' .. ARGV[3]
    ARGV[7] = redis.call('set', turn, '', 'NX', 'PX', {MAINTENANCE_INTERVAL_MS}) and '1' or '0'
end
""".encode()

# Appended: the token of a message, after the message, because a full server only refuses a script that has not written
# yet; and whether a heartbeat did the maintenance. Messages of dead processes return to their queue without a token,
# and the token of a message may have gone to a process that has just died, so that of the maintenance is for all.
APPENDED_LUA = b"""
if command == 'enqueue' or command == 'requeue' then
    ring('bell:' .. queue_name, heartbeats)
elseif command == 'heartbeat' and do_maintenance == '1' then
    if redis.call('llen', queue_full_name) > 0 and redis.call('exists', 'bell:' .. queue_name) == 0 then
        redis.call('rpush', 'bell:' .. queue_name, '')
    end
    return 1
end
"""

# Instead of Dramatiq's fetch, which does not say how many messages are left. ARGV: queue, process, how many.
FETCH_LUA = b"""
local queue = KEYS[1] .. ':' .. ARGV[1]
local time = redis.call('time')
redis.call('zadd', KEYS[1] .. ':__heartbeats__',
    string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)), ARGV[2])
local ids = redis.call('lpop', queue, ARGV[3])
if not ids or not ids[1] then return {0} end
redis.call('srem', 'bell:' .. ARGV[1] .. ':waiting', ARGV[2])
redis.call('sadd', KEYS[1] .. ':__acks__.' .. ARGV[2] .. '.' .. ARGV[1], unpack(ids))
local left = redis.call('llen', queue)
if left > 0 and redis.call('exists', 'bell:' .. ARGV[1]) == 0 then
    ring('bell:' .. ARGV[1], KEYS[1] .. ':__heartbeats__')
end
return {left, unpack(redis.call('hmget', queue .. '.msgs', unpack(ids)))}
"""

# A process waits no more. ARGV: queue, process, 1 if it may have taken the token of a message.
LEAVE_LUA = b"""
redis.call('srem', 'bell:' .. ARGV[1] .. ':waiting', ARGV[2])
if redis.call('del', 'bell:' .. ARGV[1] .. ':' .. ARGV[2]) == 1 or ARGV[3] == '1' then
    ring('bell:' .. ARGV[1], KEYS[1] .. ':__heartbeats__')
end
"""

# Instead of Dramatiq's ack, which is a heartbeat too. ARGV: queue, process, message.
ACK_LUA = b"""
if redis.call('srem', KEYS[1] .. ':__acks__.' .. ARGV[2] .. '.' .. ARGV[1], ARGV[3]) == 1 then
    redis.call('hdel', KEYS[1] .. ':' .. ARGV[1] .. '.msgs', ARGV[3])
end
"""

DISPATCH_LUA = (Path(dramatiq.brokers.__file__).parent / "redis" / "dispatch.lua").read_bytes()
OWN_SCRIPTS = {
    "dispatch": RING_LUA.encode() + PREPENDED_LUA + DISPATCH_LUA + APPENDED_LUA,
    "fetch": RING_LUA.encode() + FETCH_LUA,
    "leave": RING_LUA.encode() + LEAVE_LUA,
    "ack": ACK_LUA,
}
