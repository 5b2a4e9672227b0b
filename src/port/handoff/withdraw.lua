-- Removes a secret where it is still the one that was put: what somebody else has put since stays, and is at no moment
-- out of its reader's reach.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 0
