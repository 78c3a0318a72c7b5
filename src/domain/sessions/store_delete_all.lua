-- Deletes all sessions of a user except one, if there is one to be kept. Returns the deleted members.
-- KEYS: the user's index. ARGV: prefix of the user's records, the member to be kept or nothing.
local deleted = {}
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    if member ~= ARGV[2] then
        if redis.call('DEL', ARGV[1] .. member) == 1 then
            deleted[#deleted + 1] = member
        end
        redis.call('ZREM', KEYS[1], member)
    end
end
return deleted
