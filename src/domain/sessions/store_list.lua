-- The user's sessions, newest first: member, record, member, record.
-- KEYS: the user's index. ARGV: prefix of the user's records.
local found = {}
for _, member in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, -1)) do
    local record = redis.call('GET', ARGV[1] .. member)
    if record then
        found[#found + 1] = member
        found[#found + 1] = record
    else
        redis.call('ZREM', KEYS[1], member)
    end
end
return found
