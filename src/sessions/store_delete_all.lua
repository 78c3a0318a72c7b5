-- Deletes all sessions of a user. Returns how many there were.
-- KEYS: the user's index. ARGV: prefix of the user's records.
local deleted = 0
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    deleted = deleted + redis.call('DEL', ARGV[1] .. member)
end
redis.call('DEL', KEYS[1])
return deleted
