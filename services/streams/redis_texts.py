"""The part of the script in Redis (see redis_scripts) that knows the text of an answer while it is written.

It does what text.Partial does, on bytes: offsets count code points, and of a text in UTF-8 what it begins with can be
compared as it is.
"""

_PIECE_BYTES = 4_096

TEXTS = (
    f"local PIECE = {_PIECE_BYTES}\n"
    + """
-- What is known of an answer, in this order.
local RUN, GENERATION, LENGTH, PIECES, TIME, HEADER = 1, 2, 3, 4, 5, 6

local function known_text(texts, id)
  local known = call('HGET', texts, 'm' .. id)
  return known and cmsgpack.unpack(known)
end

local function whole(texts, id, known)
  local pieces = {}
  for number = 1, known[PIECES] do pieces[number] = call('HGET', texts, number .. ':' .. id) end
  return table.concat(pieces)
end

local function drop_text(texts, id, known)
  call('HDEL', texts, 'm' .. id)
  for number = 1, known[PIECES] do call('HDEL', texts, number .. ':' .. id) end
end

local function begin_text(texts, id, old, new, text)
  if old then drop_text(texts, id, old) end
  call('HSET', texts, 'm' .. id, cmsgpack.pack(new), '1:' .. id, text)
end

local function append(texts, id, known, more, length, time)
  local last = call('HGET', texts, known[PIECES] .. ':' .. id)
  if #last < PIECE then
    more = last .. more
  else
    known[PIECES] = known[PIECES] + 1
  end
  known[LENGTH], known[TIME] = length, time
  call('HSET', texts, 'm' .. id, cmsgpack.pack(known), known[PIECES] .. ':' .. id, more)
end

-- The bytes that so many code points take at the beginning of the text.
local function bytes_of(text, points)
  local at = 1
  for _ = 1, points do at = string.find(text, '[^\\128-\\191]', at + 1) or #text + 1 end
  return at - 1
end

-- What a delta adds to the text; nil if it adds nothing, leaves a gap or contradicts it.
local function added_by_delta(texts, id, known, offset, points, text)
  local overlap = known[LENGTH] - offset
  if overlap < 0 or points <= overlap then return nil end
  if overlap == 0 then return text end
  local bytes = bytes_of(text, overlap)
  local last = call('HGET', texts, known[PIECES] .. ':' .. id)
  if #last < bytes then last = whole(texts, id, known) end
  if string.sub(last, -bytes) ~= string.sub(text, 1, bytes) then return nil end
  return string.sub(text, bytes + 1)
end

-- The same of a snapshot, and whether it contradicts it.
local function added_by_snapshot(texts, id, known, text)
  local old = whole(texts, id, known)
  if string.sub(text, 1, #old) == old then
    return #text > #old and string.sub(text, #old + 1) or nil, false
  end
  return nil, string.sub(old, 1, #text) ~= text
end
"""
)
