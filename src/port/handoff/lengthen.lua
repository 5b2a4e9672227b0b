-- Lets a secret wait for longer, where it would wait for less. Answers whether it is there.
local key, life = KEYS[1], ARGV[2]

return owned(function()
  local left = redis.call('PTTL', key)
  if left ~= -1 and left ~= -2 and left < tonumber(life) then
    redis.call('PEXPIRE', key, life)
  end
  return left == -2 and 0 or 1
end)
