-- Adds a session, and ends the oldest others of the user beyond the limit. Returns their members and
-- records alternately.
-- KEYS: the user's index, the session's record.
-- ARGV: record, its seconds to live, member, absolute end, now, limit, prefix of the user's
--       records, seconds until the absolute end.
local index, member, prefix = KEYS[1], ARGV[3], ARGV[7]

-- Redis expires records; one past its absolute end may remain where a clock was set back.
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', ARGV[5])) do
    redis.call('DEL', prefix .. ended)
end
redis.call('ZREMRANGEBYSCORE', index, '-inf', ARGV[5])

redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
redis.call('ZADD', index, ARGV[4], member)
if redis.call('TTL', index) < tonumber(ARGV[8]) then
    redis.call('EXPIRE', index, ARGV[8])
end

local excess = redis.call('ZCARD', index) - tonumber(ARGV[6])
if excess <= 0 then
    return {}
end
-- The index still contains sessions that were idle for too long: they go first.
local live = {}
for _, other in ipairs(redis.call('ZRANGE', index, 0, -1)) do
    if redis.call('EXISTS', prefix .. other) == 0 then
        redis.call('ZREM', index, other)
        excess = excess - 1
    elseif other ~= member then
        live[#live + 1] = other
    end
end
local deleted = {}
for position = 1, math.min(excess, #live) do
    local record = redis.call('GET', prefix .. live[position])
    redis.call('ZREM', index, live[position])
    redis.call('DEL', prefix .. live[position])
    deleted[#deleted + 1] = live[position]
    deleted[#deleted + 1] = record or ''
end
return deleted
