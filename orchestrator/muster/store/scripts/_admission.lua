-- Who may submit, and which wishes are one. Included by submit.
local function read_admission()
  return { client = arg(), live = int(), queued = int(), every = int() / 1000, burst = int(), unique = arg(),
    unique_ms = int(), replaces = arg() == '1', debounce = arg(), delay = int(), most = int() }
end

-- A job with the debounce key that has not begun: put it off, and give it the new input. Returns the reply, or nil.
local function put_off(a, new)
  local known = call('GET', T .. 'de:' .. a.debounce)
  if not known then return nil end
  local jid, first = string.sub(known, 1, 36), tonumber(string.sub(known, 38))
  local j = call('HMGET', T .. 'j:' .. jid, 'fin', 'wv', 'tl', 'cx')
  if j[1] ~= '0' or j[2] ~= '0' or j[3] ~= '' or j[4] ~= '0' then return nil end
  local due = math.min(now + a.delay, first + a.most)
  call('HSET', T .. 'j:' .. jid, 'sub', new.sub, 'ut', now)
  call('HINCRBY', T .. 'j:' .. jid, 'pv', 1)
  call('ZADD', T .. 'D', due, jid)
  call('PEXPIRE', T .. 'de:' .. a.debounce, math.max(due - now, 1) + 1000)
  return { 'putoff', jid, '0' }
end

-- Whether the client has as much as it may, by GCRA (ITU-T I.371) for its rate. Returns the reply, or nil.
local function limited(a)
  local q = call('HMGET', T .. 'qu:' .. a.client, 'live', 'queued', 'tat')
  if a.live > 0 and tonumber(q[1] or 0) >= a.live then return { 'limited', 'live', '0' } end
  if a.queued > 0 and tonumber(q[2] or 0) >= a.queued then return { 'limited', 'queued', '0' } end
  if a.every > 0 then
    a.tat = math.max(tonumber(q[3] or 0), now) + a.every
    local allowed = a.tat - a.every * a.burst
    if allowed > now then return { 'limited', 'rate', tostring(math.ceil(allowed - now)) } end
  end
  return nil
end

-- What ends the submit without a job, or nil.
local function refused(a, new)
  local reply = a.debounce ~= '' and put_off(a, new) or nil
  if reply then return reply end
  if a.unique ~= '' and not a.replaces then
    local holder = call('GET', T .. 'u:' .. a.unique)
    if holder then return { 'taken', holder } end
  end
  return a.client ~= '' and limited(a) or nil
end

-- Count the new job, and give it its keys.
local function admit(a, new)
  local held = a.unique_ms == 0 and a.unique or ''
  count_admitted(new.id, a.client, held)
  if a.tat then
    call('HSET', T .. 'qu:' .. a.client, 'tat', string.format('%.3f', a.tat))
  end
  if a.unique ~= '' then
    local holder = call('GET', T .. 'u:' .. a.unique)
    if holder then call('ZADD', T .. 'tm', now, 'r|' .. holder) end
    if a.unique_ms > 0 then
      call('SET', T .. 'u:' .. a.unique, new.id, 'PX', a.unique_ms)
    else
      call('SET', T .. 'u:' .. a.unique, new.id)
    end
  end
  if a.debounce ~= '' then
    call('HSET', T .. 'j:' .. new.id, 'de', '1')
    call('SET', T .. 'de:' .. a.debounce, new.id .. '|' .. now, 'PX', math.max(a.delay, 1) + 1000)
  end
end
