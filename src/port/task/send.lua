-- Dispatches one task, once: all of it or nothing.
--
-- Redis runs a script as one step, so nobody sees a task without its marker, or a marker whose task was not pushed. The
-- credentials are spliced in here, and so the Base64 around them is made here too: read by the sender and sent back,
-- they could be consumed or replaced in between.
--
-- The push comes first: it alone can be refused, and then nothing is done.
-- The queue bears whose tasks it carries: its workers know no prefix of ours, and would take another environment's too.
local waiting, marker, queue, fence, claim = KEYS[1], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local ours, way, envelope_head, body_head, given, body_tail, envelope_tail, marker_life, life, fencing = unpack(ARGV)
local environment = ARGV[11]

local letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

local function base64(text)
  local out = {}
  for at = 1, #text, 3 do
    local a, b, c = text:byte(at, at + 2)
    local bits = a * 65536 + (b or 0) * 256 + (c or 0)
    for place = 3, 0, -1 do
      local sextet = bit.band(bit.rshift(bits, place * 6), 63) + 1
      out[#out + 1] = letters:sub(sextet, sextet)
    end
  end
  local text64 = table.concat(out)
  local missing = (3 - #text % 3) % 3
  return text64:sub(1, #text64 - missing) .. ('='):rep(missing)
end

return owned(function()
  local sent = said(marker)
  if sent ~= '' then
    -- A marker that nobody of us has set tells of no task of ours.
    return sent == ours and 'before' or foreign()
  end
  local claimed = said(claim)
  if claimed ~= '' and claimed ~= environment then
    return {'claimed', claimed}
  end

  -- What waits may be of an applier that came after the sender, and not be set on the server yet.
  if way == 'read' or way == 'lengthen' then
    local theirs = fencing_under(fence)
    if not theirs then
      return foreign()
    end
    if theirs > tonumber(fencing) then
      return 'none'
    end
  end

  local credentials = given
  local left = -1
  if way == 'read' then
    if is_too_long(waiting) then
      return foreign()
    end
    credentials = redis.call('GET', waiting)
    if not credentials then
      return 'none'
    end
    -- Whatever is not one whole object would break the message around it.
    if credentials:sub(1, 1) ~= '{' or not pcall(cjson.decode, credentials) then
      return 'malformed'
    end
  elseif way == 'lengthen' then
    left = redis.call('PTTL', waiting)
    if left == -2 then
      return 'none'
    end
  elseif way ~= 'given' then
    return 'none'
  end

  redis.call('LPUSH', queue, envelope_head .. base64(body_head .. credentials .. body_tail) .. envelope_tail)
  redis.call('SET', marker, ours, 'PX', marker_life)
  redis.call('SET', claim, environment)
  if way == 'read' then
    redis.call('DEL', waiting)
  elseif left ~= -1 and left < tonumber(life) then
    redis.call('PEXPIRE', waiting, life)
  end
  return 'now'
end)
