#!lua flags=allow-oom
--[[
complete: take one attempt's end: deliver it to the job's mailbox, or put the task back.

KEYS  1 the partition's tag
ARGV  job, number, worker or '' (the engine itself), attempt or '', fence or '',
      mode (deliver | retry | requeue), delay ms, failed (0|1), mailbox item, history entry, turn token, turn ttl ms,
      with claim (0|1), then a claim where 1
OUT   {'turn', header, items, flag, ms run} | {'noted', claimed, '', flag, ms run} | {'retry', ms run}
      | {'gone', next task number} | {'foreign'} | {'stale'} | {'final'}; flag: 'cancel' where the job's end was asked for
TWICE the task is gone by then: {'turn'} again where the caller holds the turn, else {'gone'}
]]
-- @include _queue
local jid, number, worker, attempt, fence = arg(), arg(), arg(), arg(), arg()
local mode, delay, failed, item, entry, token, ttl = arg(), int(), arg(), arg(), arg(), arg(), int()
local claim = arg() == '1' and read_claim() or nil
local tid = jid .. '.' .. number
local key, job = T .. 't:' .. tid, T .. 'j:' .. jid

local t = call('HMGET', key, 'st', 'at', 'nz', 'w', 'wv', 'q', 'fl', 'pw', 'bd', 'ca', 'pr')
local j = call('HMGET', job, 'fin', 'wv', 'tl', 'pol', 'cx', 'sw', 'nt', 'ac', 'nl', 'need', 'cur', 'ch', 'rm')
if not j[1] then return { 'gone', '-1' } end
if not t[1] then
  if j[3] == token then
    local reply = turn_reply(jid)
    return { 'turn', reply[1], reply[2], j[5] == '1' and 'cancel' or '', '0' }
  end
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
call('ZREM', T .. 'L', tid)
if j[1] == '1' then
  call('HSET', job, 'nl', leased)
  charge(jid, t[10], t[11])
  call('UNLINK', key)
  call('SREM', T .. 'jt:' .. jid, number)
  return { 'final' }
end
local ran = now - tonumber(t[10])
local run_ms = tonumber(j[13] or 0) + ran
if t[11] then call('HINCRBY', job, 'cm', cost_of(ran, t[11])) end
note(jid, entry, ran)
local cancelling = j[5] == '1'

if mode ~= 'deliver' and not cancelling then
  call('HSET', job, 'nl', leased, 'rm', run_ms)
  local past = string.sub(t[4] .. ',' .. (t[8] or ''), 1, 600)
  if mode == 'retry' then
    call('HINCRBY', key, 'fx', 1)
    call('HINCRBY', job, 'rc', 1)
  else
    call('HINCRBY', key, 'ls', 1)
  end
  if delay > 0 then
    call('HSET', key, 'st', 'G', 'pw', past, 'w', '')
    call('ZADD', T .. 'tm', now + delay, 't|' .. tid)
  else
    call('HSET', key, 'st', 'R', 'pw', past, 'w', '', 'rs', age, 'ra', now)
    enqueue(tid, t[6], t[7], tonumber(t[9]), age)
    wake(t[6], 1)
  end
  call('HINCRBY', job, 'pv', 1)
  announce(jid, j[8])
  announce_to_tenant(jid, t[7])
  return { 'retry', tostring(ran) }
end

call('UNLINK', key)
if number ~= j[11] then call('SREM', T .. 'jt:' .. jid, number) end
local need, due = tonumber(j[10]), false
if t[5] == j[2] then
  call('RPUSH', T .. 'i:' .. jid, item)
  need = need - 1
  if failed == '1' and j[4] == 'ff' and need > 0 then need = 0 end
  due = need <= 0
elseif t[5] == j[6] and j[3] ~= '' then
  call('RPUSH', T .. 'e:' .. jid, item)
  if failed == '1' then call('HSET', job, 'ef', '1') end
end
if cancelling then due = leased <= 0 and (j[12] or '') == '' end   -- with a child, its end makes the turn due
local flag = cancelling and 'cancel' or ''
if due and j[3] == '' then
  call('HSET', job, 'nl', leased, 'need', need, 'rm', run_ms, 'tl', token)
  call('ZADD', T .. 'D', now + ttl, jid)
  local reply = turn_reply(jid)
  return { 'turn', reply[1], reply[2], flag, tostring(ran) }
end
call('HSET', job, 'nl', leased, 'need', need, 'rm', run_ms)
return { 'noted', claim and take(claim) or {}, '', flag, tostring(ran) }
