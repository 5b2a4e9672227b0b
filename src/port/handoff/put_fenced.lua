-- Puts one secret, or removes what waits, unless a later applier has been here. Answers 0, or the number of the later one.
local key, fence = KEYS[1], KEYS[4]
local _, life, secret, fencing, fence_life = unpack(ARGV)

return owned(function()
  local theirs = redis.call('GET', fence)
  theirs = theirs and tonumber(theirs) or (theirs and -1 or 0)
  if theirs < 0 or theirs ~= math.floor(theirs) or theirs >= 2 ^ 53 then
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
