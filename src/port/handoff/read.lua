-- Looks at one secret, which stays.
local key = KEYS[1]

return owned(function()
  if is_too_long(key) then
    return foreign()
  end
  return redis.call('GET', key)
end)
