-- Puts a secret back for the rest of its life, unless a newer one waits. A life of 0 has no end.
local key, life, secret = KEYS[1], ARGV[2], ARGV[3]

return owned(function()
  if life == '0' then
    redis.call('SET', key, secret, 'NX')
  else
    redis.call('SET', key, secret, 'NX', 'PX', life)
  end
  return 0
end)
