-- One attempt's end, and how it is taken. Included by complete, and by step, which goes on to write the turn.
local function read_completion()
  local c = { jid = arg(), number = arg(), worker = arg(), attempt = arg(), fence = arg(), mode = arg(), delay = int(),
    failed = arg() == '1', item = arg(), entry = arg(), token = arg(), ttl = int(), counts = arg() }
  c.claim = arg() == '1' and read_claim() or nil
  return c
end

local function put_back(c, key, t, job, leased, run_ms, watchers)
  local tid, past = c.jid .. '.' .. c.number, string.sub(t[4] .. ',' .. (t[8] or ''), 1, 600)
  call('HSET', job, 'nl', leased, 'rm', run_ms)
  if t[13] then call('HDEL', key, 'gs') end
  if c.mode == 'retry' then
    call('HINCRBY', key, 'fx', 1)
    call('HINCRBY', job, 'rc', 1)
    call('HSETNX', key, 'ff', now)
    if c.counts ~= '' then call('HSET', key, 'fc', c.counts) end
  else
    call('HINCRBY', key, c.mode == 'lost' and 'ls' or 'rq', 1)
  end
  limit_wait(tid, c.delay <= 0 and now or nil)
  if c.delay > 0 then
    call('HSET', key, 'st', 'G', 'pw', past, 'w', '', 'pb', c.mode)
    call('ZADD', T .. 'tm', now + c.delay, 't|' .. tid)
  else
    call('HSET', key, 'st', 'R', 'pw', past, 'w', '', 'rs', age, 'ra', now)
    if enqueue(tid, t[6], t[7] .. (t[12] or ''), tonumber(t[9]), age) then wake(t[6], 1) end
  end
  call('HINCRBY', job, 'pv', 1)
  announce(c.jid, watchers)
  announce_to_tenant(c.jid, t[7])
end

-- What complete answers; call `wake_opened` at the script's end. `decided` is the turn that this end should make due, decided ahead by the caller: where the
-- job is as the caller knew it, the turn is leased without a word about the job, and the answer is {'due', ms run}.
local function complete(c, decided)
  local jid, number, worker, attempt, fence, token = c.jid, c.number, c.worker, c.attempt, c.fence, c.token
  local tid = jid .. '.' .. number
  local key, job = T .. 't:' .. tid, T .. 'j:' .. jid

  local t = call('HMGET', key, 'st', 'at', 'nz', 'w', 'wv', 'q', 'fl', 'pw', 'bd', 'ca', 'pr', 'fw', 'gs')
  local j = call('HMGET', job, 'fin', 'wv', 'tl', 'pol', 'cx', 'sw', 'nt', 'ac', 'nl', 'need', 'cur', 'v', 'lc',
    'ch', 'rm')
  if not j[1] then return { 'gone', '-1' } end
  if not t[1] then
    if j[3] == token then
      local reply = turn_reply(jid)
      return { 'turn', reply[1], reply[2], j[5] == '1' and 'cancel' or '', '0' }
    end
    if decided and j[13] == token then return { 'due', '0' } end   -- written before; commit knows its answer
    return { 'gone', j[7] }
  end
  if t[1] ~= 'L' or (worker ~= '' and t[4] ~= worker) then
    if worker ~= '' and not string.find(',' .. (t[8] or '') .. ',', ',' .. worker .. ',', 1, true) then
      return { 'foreign' }
    end
    return { 'stale' }
  end
  if (attempt ~= '' and t[2] ~= attempt) or (fence ~= '' and t[3] ~= fence) then return { 'stale' } end

  local leased = tonumber(j[9]) - 1
  end_lease(tid, t[13])
  if j[1] == '1' then
    call('HSET', job, 'nl', leased)
    charge(jid, t[10], t[11])
    call('UNLINK', key)
    call('SREM', T .. 'jt:' .. jid, number)
    return { 'final' }
  end
  local ran = t[4] == '' and 0 or now - tonumber(t[10])   -- '': it was with no worker
  local run_ms = tonumber(j[15] or 0) + ran
  if t[11] then call('HINCRBY', job, 'cm', cost_of(ran, t[11])) end
  note(jid, c.entry, ran)
  local cancelling = j[5] == '1'

  if c.mode ~= 'deliver' and not cancelling then
    put_back(c, key, t, job, leased, run_ms, j[8])
    return { 'retry', tostring(ran) }
  end

  call('UNLINK', key)
  local need, due = tonumber(j[10]), false
  -- The job's only task, and nothing has happened since: the mailbox would hold this item alone.
  local as_known = decided and j[12] == decided.version and j[11] == number and need == 1 and j[3] == ''
  if as_known and t[5] == j[2] and not cancelling then
    call('HSET', job, 'nl', leased, 'need', 0, 'rm', run_ms, 'tl', token)
    return { 'due', tostring(ran) }
  end
  if number ~= j[11] then call('SREM', T .. 'jt:' .. jid, number) end
  if t[5] == j[2] then
    call('RPUSH', T .. 'i:' .. jid, c.item)
    local policy
    if c.failed then need, policy = after_failures(j[4], need, 1) else need = need - 1 end
    if policy and policy ~= j[4] then call('HSET', job, 'pol', policy) end
    due = need <= 0
  elseif t[5] == j[6] and j[3] ~= '' then
    call('RPUSH', T .. 'e:' .. jid, c.item)
    if c.failed then call('HSET', job, 'ef', (tonumber(call('HGET', job, 'ef')) or 0) + 1) end
  end
  if cancelling then due = leased <= 0 and (j[14] or '') == '' end   -- with a child, its end makes the turn due
  local flag = cancelling and 'cancel' or ''
  if due and j[3] == '' then
    call('HSET', job, 'nl', leased, 'need', need, 'rm', run_ms, 'tl', token)
    call('ZADD', T .. 'D', now + c.ttl, jid)
    local reply = turn_reply(jid)
    return { 'turn', reply[1], reply[2], flag, tostring(ran) }
  end
  call('HSET', job, 'nl', leased, 'need', need, 'rm', run_ms)
  return { 'noted', c.claim and take(c.claim) or {}, '', flag, tostring(ran) }
end
