-- Puts one secret, or removes what waits, unless a later applier has been here.
--
-- One step, so that nobody puts anything between the comparison and what follows from it. Answers 0, or the number of
-- the later one.
local key, fence = KEYS[1], KEYS[2]
local secret, life, ours, fence_life = unpack(ARGV)

local theirs = tonumber(redis.call('GET', fence) or 0)
if theirs > tonumber(ours) then
  return theirs
end
redis.call('SET', fence, ours, 'PX', fence_life)
if life == '0' then
  redis.call('DEL', key)
else
  redis.call('SET', key, secret, 'PX', life)
end
return 0
