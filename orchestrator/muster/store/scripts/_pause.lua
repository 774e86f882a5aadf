-- A paused job: PAUSED holds its turn, so whoever brings something finds the turn taken and leaves it in the mailbox.
-- Tasks of it that a claim meets are parked ('P', their numbers in `pk:`) until a tick after its end puts them back.
-- Included by what pauses and resumes.
-- @include _children
local TOGETHER_MAX = limits.PAUSED_TOGETHER_MAX   -- of children of a race, and theirs, those beyond go on

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
  if call('EXISTS', T .. 'pk:' .. jid) == 1 then call('ZADD', T .. 'tm', now, 'u|' .. jid) end
  local due = tonumber(j[2]) <= 0
  if due then call('ZADD', T .. 'D', now, jid) end
  return due
end

-- Tell a spread child that the job `above` is held, with these words, or is not any more (''). The count grows, so that of two
-- that overtake each other the older one does nothing.
local function tell_hold(jid, child, above, words)
  local count, start = call('HINCRBY', T .. 'j:' .. jid, 'hc', 1), 'o|' .. child .. '.start'
  send_soon(child .. '.hold' .. count, '{"k":"hold","c":"' .. child .. '","n":' .. count .. ',"a":"' .. above .. '","w":'
    .. (words == '' and 'null' or words) .. '}')
  if words == '' and call('ZSCORE', T .. 'tm', start) then call('ZADD', T .. 'tm', now, start) end
end

-- Hold a job, and the jobs below it that it waits for: those in this partition at once, spread ones by messages.
local function hold_all(top, above, words, entry, entry_below)
  local todo, place = { top }, 1
  while todo[place] and place <= TOGETHER_MAX do
    local one = todo[place]
    local j = call('HMGET', T .. 'j:' .. one, 'fin', 'cx', 'tl', 'st', 'ch', 'fl', 'ac')
    local is_live, is_new = j[1] == '0' and j[2] ~= '1', j[3] ~= PAUSED
    if is_live and is_new then
      hold(one, j[4], words, one == above and '' or above)
      note(one, one == top and entry or entry_below)
      tell_change(one, j[6], j[7])
    end
    for child, star in each_child(is_live and j[5]) do
      if star == '' then todo[#todo + 1] = child elseif is_new then tell_hold(one, child, above, words) end
    end
    place = place + 1
  end
end

-- Let go of all at and below a job that are held because of `above`.
local function let_go_all(top, above, entry)
  local todo, place = { top }, 1
  while todo[place] and place <= TOGETHER_MAX do
    local one = todo[place]
    local b = call('HMGET', T .. 'j:' .. one, 'pz', 'ch', 'fl', 'ac')
    if b[1] and string.match(b[1], '^%d+|[^|]*|([^|]*)|') == above then
      let_go(one)
      note(one, entry)
      tell_change(one, b[3], b[4])
    end
    for child, star in each_child(b[2]) do
      if star == '' then todo[#todo + 1] = child else tell_hold(one, child, above, '') end
    end
    place = place + 1
  end
end
