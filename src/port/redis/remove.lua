-- Removes what waits under a name.
return owned(function()
  redis.call('DEL', KEYS[1])
  return 0
end)
