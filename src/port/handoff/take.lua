-- Takes one secret, with the life that it had left; or nothing.
local key = KEYS[1]

return owned(function()
  if is_too_long(key) then
    return foreign()
  end
  return {redis.call('PTTL', key), redis.call('GETDEL', key)}
end)
