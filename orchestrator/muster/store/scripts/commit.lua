#!lua
--[[
commit: write what a turn decided, make its tasks ready, and claim for seats that wait here.

KEYS  1 the partition's tag
ARGV  job, version, turn token, turn ttl ms, next turn's token, final (0|1), status, state, context, need, policy ('' | ff),
      wave, next task number, current task or '', started (0|1), clear cancel (0|1), replica, result, error, details,
      retention ms, day of the index, its ttl ms, deadline ms or '',
      #history, entry..., #tasks, (number, class, type, body, policy, timeout ms, band)...,
      #messages, (id, body)..., #drops, (from, to)..., with claim (0|1), then a claim where 1
OUT   {'ok', claimed, now ms} | {'again', claimed, now ms, header, items} | {'stale'} | {'gone'}
TWICE the same token: {'ok', {}, now}, or {'again', {}, now, ...} where the next turn is still the caller's
]]
-- @include _queue
local jid, version, token, ttl, next_token = arg(), arg(), arg(), int(), arg()
local fin, status, state, ctx, need, policy = arg(), arg(), arg(), arg(), int(), arg()
local wave, next_task, current, started, clear_cancel = arg(), arg(), arg(), arg(), arg()
local replica, result, err, details, retention = arg(), arg(), arg(), arg(), int()
local day, day_ttl, deadline = arg(), int(), arg()
local job = T .. 'j:' .. jid

local j = call('HMGET', job, 'v', 'tl', 'lc', 'st', 'fl', 'cx', 'sa', 'tmr', 'ac', 'sw', 'fin', 'ef')
if not j[1] then return { 'gone' } end
if j[3] == token then
  if j[2] == next_token then
    local reply = turn_reply(jid)
    return { 'again', {}, tostring(now), reply[1], reply[2] }
  end
  return { 'ok', {}, tostring(now) }
end
if j[1] ~= version or j[2] ~= token or j[11] == '1' then return { 'stale' } end

call('HSET', job, 'v', tonumber(version) + 1, 'tl', '', 'lc', token, 's', state, 'ctx', ctx, 'pol', policy, 'wv', wave,
  'nt', next_task, 'cur', current, 'ut', now, 'tf', 0, 'sw', 0, 'spn', 0, 'pg', '', 'pm', '')
set_status(jid, j[4], status)
if started == '1' and j[7] == '' then call('HSET', job, 'sa', now) end
if clear_cancel == '1' then call('HSET', job, 'cx', '0') end
call('UNLINK', T .. 'i:' .. jid)
call('ZREM', T .. 'D', jid)
if j[8] then
  call('ZREM', T .. 'tm', j[8])
  call('HDEL', job, 'tmr')
end

if j[10] == wave and fin == '0' then
  local early = call('LLEN', T .. 'e:' .. jid)
  if early > 0 then
    call('RENAME', T .. 'e:' .. jid, T .. 'i:' .. jid)
    need = (policy == 'ff' and j[12] == '1') and 0 or need - early
  end
else
  call('UNLINK', T .. 'e:' .. jid)
end
call('HSET', job, 'need', need, 'ef', '')
for _ = 1, int() do note(jid, arg()) end

local ready, order = {}, {}
for i = 1, int() do
  local number, cls, kind, body, rules, timeout, band = arg(), arg(), arg(), arg(), arg(), arg(), int()
  local tid = jid .. '.' .. number
  call('HSET', T .. 't:' .. tid, 'st', 'R', 'q', cls, 'fl', j[5], 'bd', band, 'wv', wave, 'at', 0, 'fx', 0, 'ls', 0,
    'to', timeout, 'pl', body, 'po', rules, 'rs', age + i, 'ra', now)
  call('SADD', T .. 'jt:' .. jid, number)
  call('HSETNX', T .. 'cls', cls, kind)
  enqueue(tid, cls, j[5], band, age + i)
  if not ready[cls] then order[#order + 1] = cls end
  ready[cls] = (ready[cls] or 0) + 1
end
for _ = 1, int() do
  local id, body = arg(), arg()
  call('HSET', T .. 'ob:' .. id, 'b', body, 'n', 0)
  call('ZADD', T .. 'tm', now, 'o|' .. id)
end
for _ = 1, int() do
  call('ZADD', T .. 'tm', now, 'd|' .. jid .. '|' .. arg() .. '|' .. arg())
end
if deadline ~= '' then
  local timer = 'j|' .. jid .. '|' .. wave
  call('ZADD', T .. 'tm', now + tonumber(deadline), timer)
  call('HSET', job, 'tmr', timer)
end

if fin == '1' then
  call('HSET', job, 'fin', '1', 'ft', now, 'res', result, 'err', err, 'det', details)
  call('ZREM', T .. 'tm', 'c|' .. jid)
  call('ZREM', T .. 'xr:' .. j[5], jid)
  local index = T .. 'xf:' .. day .. ':' .. j[5]
  call('ZADD', index, now, jid)
  call('PEXPIRE', index, day_ttl)
  announce(jid, call('HGET', job, 'aw'), replica)   -- the caller tells its own watchers itself
  call('HDEL', job, 'aw', 'ac')
  call('PEXPIRE', job, retention)
  call('PEXPIRE', T .. 'h:' .. jid, retention)
  call('PEXPIRE', T .. 'jt:' .. jid, retention)
end
announce(jid, j[9])

local claimed = {}
if arg() == '1' then claimed = take(read_claim()) end
for _, cls in ipairs(order) do
  local left = ready[cls]
  for _, got in ipairs(claimed) do
    if string.sub(got[2], 1, 36) == jid then left = left - 1 end
  end
  if left > 0 then wake(cls, left) end
end

if fin == '0' and (need <= 0 or (j[6] == '1' and clear_cancel == '0')) then
  local reply = lease_turn(jid, next_token, ttl)
  return { 'again', claimed, tostring(now), reply[1], reply[2] }
end
return { 'ok', claimed, tostring(now) }
