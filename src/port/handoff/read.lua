-- Looks at one secret, which stays.
local key, most = KEYS[1], tonumber(ARGV[2])

return owned(function()
  if #redis.call('GETRANGE', key, 0, most) > most then
    return foreign()
  end
  return redis.call('GET', key)
end)
