-- Gives a store another owner, where it still bears the one that was seen, and nobody else.
local ours, former = unpack(ARGV)
for place = 1, 2 do
  local borne = redis.call('GET', KEYS[place])
  if borne and borne ~= former and borne ~= ours then
    return 0
  end
end
redis.call('SET', KEYS[1], ours)
redis.call('SET', KEYS[2], ours)
return 1
