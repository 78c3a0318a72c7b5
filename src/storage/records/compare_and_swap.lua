-- Replaces a record if it is still, byte for byte, what was read.
-- KEYS: the record. ARGV: as read, as it becomes, seconds to live.
if redis.call('GET', KEYS[1]) == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
    return 1
end
return 0
