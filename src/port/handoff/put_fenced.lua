-- Puts one secret, or removes what waits, unless a later applier has been here. Answers 0, or the number of the later one.
local key, fence = KEYS[1], KEYS[4]
local _, life, secret, fencing, fence_life = unpack(ARGV)

return owned(function()
  local theirs = fencing_under(fence)
  if not theirs then
    return foreign()
  end
  if theirs > tonumber(fencing) then
    return theirs
  end
  redis.call('SET', fence, fencing, 'PX', fence_life)
  if life == '0' then
    redis.call('DEL', key)
  else
    redis.call('SET', key, secret, 'PX', life)
  end
  return 0
end)
