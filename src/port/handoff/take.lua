-- Takes one secret, with the life that it had left; or nothing.
local key, most = KEYS[1], tonumber(ARGV[2])

return owned(function()
  -- What is longer than any secret of ours is somebody else's, and is not sent to be found out.
  if #redis.call('GETRANGE', key, 0, most) > most then
    return foreign()
  end
  return {redis.call('PTTL', key), redis.call('GETDEL', key)}
end)
