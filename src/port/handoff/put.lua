-- Puts one secret.
local key, life, secret = KEYS[1], ARGV[2], ARGV[3]

return owned(function()
  redis.call('SET', key, secret, 'PX', life)
  return 0
end)
