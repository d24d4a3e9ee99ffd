"""The streams of all sessions in Redis: one script alone reads and changes them, by Redis' own clock.

A session's keys end in its name, `session:project:user`, and expire `SESSION_SECONDS` after its last use, or sooner:

    session_events:<name>     list: the buffer, gone `BUFFER_SECONDS` after its last event
    session_state:<name>      hash: `name`; `life`, in which it began; `epoch`, `seq`; `at`, the position of the latest
                              thing that was told; `uses`, which orders its runs
    session_runs:<name>       hash: of each run `<epoch>:<seq of its end>;<n>=<seq>;<n>=<seq>;`
    session_run_uses:<name>   sorted set: the runs, the one that was used longest ago first
    session_texts:<name>      hash: of each answer `m<message id>`, what is known of it, and `<number>:<message id>`,
                              its text in pieces, so that adding to a long one does not copy it
    session_closed:<name>     there while the session cannot begin again
    user_sessions:<user>      sorted set: `project:session` by the end of its time in milliseconds, and `` by its life

`session_events_live` is a stream of all that is told, under the name of its session. Its ids are `life-position`, and
positions have no holes: who reads from where they stopped knows whether they missed something. A life ends whenever
Redis may have lost something: with its process (`boot`), and with `session_events_life`, where it is counted. Sessions
of an earlier life begin anew, and so does every reader, to whom its first entry, under no name, says so.

What is told is a line `<kind><where>`, a line of JSON (see redis_wire), and the payload or text. Kinds are E with the
id of an event, D with `<offset> <time>` of a delta, S with `<time>` of a snapshot, and, alone, C: closed, and I:
interrupted.
"""

from services.streams.members import MEMBER_SECONDS, MEMBERS
from services.streams.redis_texts import TEXTS
from services.streams.store import BUFFER_EVENTS, BUFFER_SECONDS, REMEMBERED_RUNS, SESSION_SECONDS

LIVE = "session_events_live"
LIFE = "session_events_life"
LIVE_ENTRIES = 10_000
"""About so many things are kept for readers that fall behind: some seconds, with a hundred answers being written."""
LIVE_BYTES = 32_000_000
"""About so much are they in all: whoever sends long messages must not fill the memory of everybody."""
DONE, CLOSED, SUPERSEDED, FAILED = 0, 1, 2, 3
"""How an operation went: first in its answer."""

_NUMBERS = f"""
local LIVE, LIFE, ENTRIES, BYTES = '{LIVE}', '{LIFE}', {LIVE_ENTRIES}, {LIVE_BYTES}
local BUFFER, BUFFER_MS, SESSION_MS = {BUFFER_EVENTS}, {round(BUFFER_SECONDS * 1000)}, {round(SESSION_SECONDS * 1000)}
local RUNS = {REMEMBERED_RUNS}
local MEMBERS, MEMBER_MS = {MEMBERS}, {round(MEMBER_SECONDS * 1000)}
local DONE, CLOSED, SUPERSEDED, FAILED = {DONE}, {CLOSED}, {SUPERSEDED}, {FAILED}
"""

_LIFE = """
local call = redis.call
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local life, position, before
-- Of the latest hundred or so, on average.
local size

local function tell(name, content)
  position, size = position + 1, size + (#content - size) / 100
  local entries = math.min(ENTRIES, math.ceil(BYTES / size))
  call('XADD', LIVE, 'MAXLEN', '~', entries, life .. '-' .. position, name, content)
  return position
end

do
  local boot = string.match(call('INFO', 'server'), 'run_id:(%w+)')
  if not boot then error('this Redis does not tell one start of it from another') end
  local known = call('HMGET', LIFE, 'boot', 'life', 'position', 'size')
  life, position, size = tonumber(known[2]), tonumber(known[3]), tonumber(known[4]) or 0
  before = position
  if known[1] ~= boot then
    life, position, before = math.max(now, (life or 0) + 1), 0, 0
    call('DEL', LIVE)
    call('HSET', LIFE, 'boot', boot, 'life', life)
    tell('', '')
  end
end
"""

_SESSIONS = """
local sessions, begun = {}, 0

local function forget(name)
  call('DEL', 'session_state:' .. name, 'session_events:' .. name, 'session_runs:' .. name,
       'session_run_uses:' .. name, 'session_texts:' .. name)
  sessions[name] = nil
end

-- The session, or nil if it is closed. One of an earlier life begins anew.
local function use(name)
  local session = sessions[name]
  if session then return session end
  if call('EXISTS', 'session_closed:' .. name) == 1 then return nil end
  local state = call('HMGET', 'session_state:' .. name, 'life', 'epoch', 'seq', 'at', 'uses', 'name')
  if tonumber(state[1]) == life then
    session = {name = state[6], epoch = state[2], seq = tonumber(state[3]), at = tonumber(state[4]),
               uses = tonumber(state[5])}
  else
    forget(name)
    begun = begun + 1
    session = {name = name, epoch = string.format('%x', life) .. ARGV[1] .. begun, seq = 0, at = 0, uses = 0,
               changed = true}
  end
  sessions[name] = session
  return session
end

local function keep(name)
  for _, kind in ipairs({'state', 'runs', 'run_uses', 'texts'}) do
    call('PEXPIRE', 'session_' .. kind .. ':' .. name, SESSION_MS)
  end
end

local function close_all()
  for name, session in pairs(sessions) do
    if session.changed then
      call('HSET', 'session_state:' .. name, 'life', life, 'epoch', session.epoch, 'seq', session.seq,
           'at', session.at, 'uses', session.uses, 'name', session.name)
    end
    keep(name)
  end
  if position > before then call('HSET', LIFE, 'position', position, 'size', size) end
end

-- What is known of a run, after this use of it: its epoch, the seq of its end or '', and the seqs of its n.
local function run_of(name, session, id, epoch)
  local runs, uses = 'session_runs:' .. name, 'session_run_uses:' .. name
  epoch = tonumber(epoch)
  session.uses, session.changed = session.uses + 1, true
  if call('ZADD', uses, session.uses, id) == 1 and call('ZCARD', uses) > RUNS then
    call('HDEL', runs, call('ZPOPMIN', uses)[1])
  end
  local known = call('HGET', runs, id)
  local latest, final, seqs = string.match(known or '0:;', '^(%d+):(%d*)(.*)$')
  local run = {id = id, epoch = tonumber(latest), final = final, seqs = seqs}
  if not known or epoch > run.epoch then
    run.epoch = math.max(epoch, run.epoch)
    call('HSET', runs, id, run.epoch .. ':' .. final .. seqs)
  end
  run.old = epoch < run.epoch
  return run
end
"""

_OPERATIONS = """
local operations = {}

function operations.open(name, id, epoch)
  local session = use(name)
  if not session then return {CLOSED} end
  run_of(name, session, id, epoch)
  return {DONE}
end

function operations.publish(name, id, epoch, n, final, content)
  local session = use(name)
  if not session then return {CLOSED} end
  local run = run_of(name, session, id, epoch)
  if run.old then return {n == '' and DONE or SUPERSEDED} end
  if n ~= '' then
    local seq = string.match(run.seqs, ';' .. n .. '=(%d+);')
    if seq then return {DONE, session.epoch, tonumber(seq)} end
  end
  session.seq = session.seq + 1
  if n ~= '' or final == '1' then
    if n ~= '' then run.seqs = run.seqs .. n .. '=' .. session.seq .. ';' end
    if final == '1' then run.final = session.seq end
    call('HSET', 'session_runs:' .. name, id, run.epoch .. ':' .. run.final .. run.seqs)
  end
  if final == '1' then
    local texts = 'session_texts:' .. name
    for _, field in ipairs(call('HKEYS', texts)) do
      if string.sub(field, 1, 1) == 'm' then
        local message = string.sub(field, 2)
        local known = known_text(texts, message)
        if known[RUN] == id then drop_text(texts, message, known) end
      end
    end
  end
  local event = 'E' .. session.epoch .. '-' .. session.seq .. '\\n' .. content
  local buffer = 'session_events:' .. name
  if call('RPUSH', buffer, event) > BUFFER then call('LTRIM', buffer, -BUFFER, -1) end
  call('PEXPIRE', buffer, BUFFER_MS)
  session.at = tell(name, event)
  return {DONE, session.epoch, session.seq}
end

function operations.text(name, id, epoch, message, generation, offset, points, time, header, text)
  local session = use(name)
  if not session then return {CLOSED} end
  local run = run_of(name, session, id, epoch)
  if run.old or run.final ~= '' then return {DONE} end
  local texts = 'session_texts:' .. name
  local known = known_text(texts, message)
  local snapshot = offset == ''
  generation, offset, points = tonumber(generation), tonumber(offset) or 0, tonumber(points)
  local begins = not known or generation > known[GENERATION]
  local added = nil
  if known and generation == known[GENERATION] then
    if snapshot then
      added, begins = added_by_snapshot(texts, message, known, text)
    else
      added = added_by_delta(texts, message, known, offset, points, text)
    end
  end
  if begins and offset == 0 then
    begin_text(texts, message, known, {id, generation, points, 1, time, header}, text)
    local where = snapshot and 'S' .. time or 'D0 ' .. time
    session.at = tell(name, where .. '\\n' .. header .. '\\n' .. text)
  elseif added then
    local from = known[LENGTH]
    append(texts, message, known, added, offset + points, time)
    session.at = tell(name, 'D' .. from .. ' ' .. time .. '\\n' .. header .. '\\n' .. added)
  end
  return {DONE}
end

function operations.read(name, id)
  local session = use(name)
  if not session then return {CLOSED, life, position} end
  local texts, partials = 'session_texts:' .. name, {}
  for _, field in ipairs(call('HKEYS', texts)) do
    if string.sub(field, 1, 1) == 'm' then
      local message = string.sub(field, 2)
      local known = known_text(texts, message)
      partials[#partials + 1] = 'S' .. known[TIME] .. '\\n' .. known[HEADER] .. '\\n' .. whole(texts, message, known)
    end
  end
  local run = id ~= '' and call('HGET', 'session_runs:' .. name, id) or ''
  return {DONE, life, session.at, session.name, session.epoch, session.seq,
          string.match(run, '^%d+:(%d*)') or '', call('LRANGE', 'session_events:' .. name, 0, -1), partials}
end

function operations.close(name)
  forget(name)
  call('SET', 'session_closed:' .. name, '1', 'PX', SESSION_MS)
  tell(name, 'C')
  return {DONE}
end

-- Somebody listens.
function operations.touch(name)
  keep(name)
  return {DONE}
end

function operations.where()
  return {DONE, life, position}
end

-- The user's sessions of this life.
local function members_of(key)
  if tonumber(call('ZSCORE', key, '')) ~= life then
    call('DEL', key)
    call('ZADD', key, life, '')
  end
  return key
end

function operations.add(key, member)
  members_of(key)
  -- The first one is no member.
  call('ZREMRANGEBYSCORE', key, '(' .. life, '(' .. now)
  call('ZADD', key, now + MEMBER_MS, member)
  call('ZREMRANGEBYRANK', key, 1, -MEMBERS - 1)
  call('PEXPIRE', key, MEMBER_MS)
  return {DONE}
end

function operations.has(key, member)
  if tonumber(call('ZSCORE', key, '') or 0) ~= life then return {DONE, 0} end
  return {DONE, tonumber(call('ZSCORE', key, member) or 0) > now and 1 or 0}
end

function operations.remove(key, member)
  call('ZREM', key, member)
  return {DONE}
end
"""

# Arguments: a new name for the epochs that begin; then of each operation its name, how many arguments follow, and they.
_BATCH = """
local answers, at = {}, 2
for number, name in ipairs(KEYS) do
  local operation, count = ARGV[at], tonumber(ARGV[at + 1])
  local went, answer = pcall(operations[operation], name, unpack(ARGV, at + 2, at + 1 + count))
  at = at + 2 + count
  if not went then
    local cause = type(answer) == 'table' and answer.err or tostring(answer)
    if string.find(cause, 'OOM command', 1, true) then
      -- Memory is full, which Redis says of a script's first write alone: nothing was done.
      sessions[name] = nil
    else
      -- What it did by half must not stay: the session begins anew.
      pcall(forget, name)
      pcall(tell, name, 'I')
    end
    answer = {FAILED, cause}
  end
  answers[number] = answer
end
close_all()
return answers
"""

SCRIPT = _NUMBERS + _LIFE + _SESSIONS + TEXTS + _OPERATIONS + _BATCH
