-- Stands before each script of ours that writes, pushes, deletes or takes: whose the store is, is compared in the same
-- step, so that nobody else's turn comes in between.
--
-- KEYS[1] is the entry that it is about. KEYS[2] and KEYS[3] are the mark and its witness, and ARGV[1] what both have to
-- say: where one was lost, the other still tells whose the store is. Answers -1 and what was found instead; or whether the
-- mark had to be set (0 or 1), and what `work` answers.
local function said(key)
  local text = redis.pcall('GETRANGE', key, 0, 127)
  if type(text) ~= 'table' then
    return text
  end
  if text.err:find('WRONGTYPE', 1, true) then
    return '(something that is no text)'
  end
  -- Anything else is an error, as it would be told outside of a script.
  return redis.call('GETRANGE', key, 0, 127)
end

local function owned(work)
  local ours, set = ARGV[1], 0
  local marks = {KEYS[2], KEYS[3]}
  local borne = {said(marks[1]), said(marks[2])}
  for place = 1, 2 do
    if borne[place] ~= '' and borne[place] ~= ours then
      return {-1, borne[place]}
    end
  end
  for place = 1, 2 do
    if borne[place] == '' then
      if not redis.call('SET', marks[place], ours, 'NX') then
        return {-1, '(an empty text)'}
      end
      set = place == 1 and 1 or set
    elseif redis.call('PTTL', marks[place]) ~= -1 then
      -- Somebody gave it an end.
      redis.call('SET', marks[place], ours)
    end
  end
  return {set, work()}
end

-- An error as of a command on a key of another type: what lies there is not what we put there.
local function foreign()
  return redis.error_reply('WRONGTYPE what lies there is not ours')
end

-- The fencing number that is kept under a name, 0 where there is none; nil for what is no number of ours.
local function fencing_under(key)
  local text = redis.call('GET', key)
  local number = text and tonumber(text) or 0
  local is_ours = not text or (tonumber(text) and number >= 0 and number < 2 ^ 53 and number == math.floor(number))
  return is_ours and number or nil
end

-- Whether what waits under a name is longer than any secret of ours: then it is somebody else's, and is not looked into.
local function is_too_long(key)
  local most = 64 * 1024
  return #redis.call('GETRANGE', key, 0, most) > most
end

