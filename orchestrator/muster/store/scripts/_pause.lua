-- A paused job: PAUSED holds its turn, so whoever brings something finds the turn taken and leaves it in the mailbox.
-- Tasks of it that a claim meets are parked ('P', their numbers in `pk:`). Included by what pauses and resumes.
local UNPARKED_MAX = 50

-- Put parked tasks back at their old places; those beyond the first fifty follow by a timer.
local function unpark(jid)
  local parked, ready = T .. 'pk:' .. jid, {}
  for _, number in ipairs(call('SPOP', parked, UNPARKED_MAX)) do
    local tid = jid .. '.' .. number
    local t = call('HMGET', T .. 't:' .. tid, 'st', 'q', 'fl', 'bd', 'rs', 'fw')
    if t[1] == 'P' then
      call('HSET', T .. 't:' .. tid, 'st', 'R')
      if enqueue(tid, t[2], t[3] .. (t[6] or ''), tonumber(t[4]), tonumber(t[5])) then ready[t[2]] = (ready[t[2]] or 0) + 1 end
    end
  end
  for cls, count in pairs(ready) do wake(cls, count) end
  if call('EXISTS', parked) == 1 then call('ZADD', T .. 'tm', now, 'u|' .. jid) end
end

-- Tell of a change that no commit made.
local function tell_change(jid, flow, followers)
  call('HINCRBY', T .. 'j:' .. jid, 'pv', 1)
  announce(jid, followers)
  announce_to_tenant(jid, flow)
end

-- Hold a live job. `words` says who and why, `above` is the job whose pause is passed down, or ''.
local function hold(jid, status, words, above)
  call('HSET', T .. 'j:' .. jid, 'st', 'paused', 'tl', PAUSED, 'pz', now .. '|' .. status .. '|' .. above .. '|' .. words)
  call('ZREM', T .. 'D', jid)
  count_status(status, 'paused')
end

-- Let go of a paused job. Its turn is due at once where nothing more is needed. Returns whether it is.
local function let_go(jid)
  local job = T .. 'j:' .. jid
  local j = call('HMGET', job, 'pz', 'need')
  local status = string.match(j[1], '^%d+|([^|]*)|')
  call('HSET', job, 'st', status, 'tl', '')
  call('HDEL', job, 'pz')
  count_status('paused', status)
  unpark(jid)
  local due = tonumber(j[2]) <= 0
  if due then call('ZADD', T .. 'D', now, jid) end
  return due
end
