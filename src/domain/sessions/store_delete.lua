-- Deletes one session. Returns how many there were.
-- KEYS: the user's index, the record. ARGV: member.
redis.call('ZREM', KEYS[1], ARGV[1])
return redis.call('DEL', KEYS[2])
