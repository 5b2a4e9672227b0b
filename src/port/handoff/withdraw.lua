-- Removes a secret where it is still the one that was put: what somebody else has put since stays, and is at no moment
-- out of its reader's reach.
local key, secret = KEYS[1], ARGV[2]

return owned(function()
  if redis.call('GET', key) == secret then
    redis.call('DEL', key)
  end
  return 0
end)
