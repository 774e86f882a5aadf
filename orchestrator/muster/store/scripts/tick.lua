#!lua flags=allow-oom
--[[
tick: fire what is due. Ended leases and messages are handed to the caller, who decides; they come again if it dies.

KEYS  1 the partition's tag
ARGV  leases max, timers max, turns max, turn token prefix, turn ttl ms, hold ms (before an ended lease, message
      or batch to cancel comes again), first turns of batches' jobs max, those of one batch in a row, jobs of batches
      that may be passed over because they are over
OUT   names and values: next_due (ms from now or ''), leases, messages, turns, dropped (task, worker)..., overdue (jobs whose
      deadline has passed), escalations, first (turns), more_first (0|1), cancels (batches), replaced (jobs to cancel, with
      their tenants)
      lease: {task, attempt, fence, worker or '', patient, limit that passed or '', losses, failures, policy, claimed ms
      ago, counts by code, first failure ms ago, ms until schedule_to_close or ''}
      message: {id, body, tries, withdrawn (1 or '')}; turn: {job, token, header, items}; escalation: {job, wave}
      batch: {key, tenant, line after which, flat jobs and lines}
TWICE what the first call handed out is held back, the rest is as at first
]]
-- @include _queue
-- @include _pause
local leases_max, timers_max, turns_max, prefix, ttl, hold = int(), int(), int(), arg(), int(), int()
local first_max, in_a_row, passed_over_max = int(), int(), int()
local movable = limits.TASKS_MOVED_PER_TICK_MAX   -- put back after a pause, or cleared away
local leases, messages, turns, dropped, overdue, escalations, cancels, replaced = {}, {}, {}, {}, {}, {}, {}, {}

-- Put parked tasks of a job back at their old places; the rest follows when others had their turn.
local function unpark(jid, member)
  local parked = T .. 'pk:' .. jid
  local numbers = movable > 0 and call('SPOP', parked, movable) or {}
  movable = movable - #numbers
  for _, number in ipairs(numbers) do
    local tid = jid .. '.' .. number
    local t = call('HMGET', T .. 't:' .. tid, 'st', 'q', 'fl', 'bd', 'rs', 'fw')
    if t[1] == 'P' then
      call('HSET', T .. 't:' .. tid, 'st', 'R')
      if enqueue(tid, t[2], t[3] .. (t[6] or ''), tonumber(t[4]), tonumber(t[5])) then count_ready(t[2], 1) end
    end
  end
  if call('EXISTS', parked) == 1 then call('ZADD', T .. 'tm', now, member) end
end

local fire = {
  t = function(member, tid)
    call('ZREM', T .. 'tm', member)
    local t = call('HMGET', T .. 't:' .. tid, 'st', 'q', 'fl', 'bd', 'fw')
    if t[1] == 'G' then
      call('HSET', T .. 't:' .. tid, 'st', 'R', 'rs', age, 'ra', now)
      limit_wait(tid, now)
      if enqueue(tid, t[2], t[3] .. (t[5] or ''), tonumber(t[4]), age) then count_ready(t[2], 1) end
    end
  end,
  p = function(member, tid)   -- it has waited long enough for whom it prefers
    call('ZREM', T .. 'tm', member)
    local t = call('HMGET', T .. 't:' .. tid, 'st', 'q', 'fl', 'bd', 'rs', 'gq', 'fw')
    if not t[6] then return end
    call('HSET', T .. 't:' .. tid, 'q', t[6])
    call('HDEL', T .. 't:' .. tid, 'gq')
    call('HSETNX', T .. 'cls', t[6], call('HGET', T .. 'cls', t[2]) or '')
    if t[1] ~= 'R' then return end
    local flow = t[3] .. (t[7] or '')
    leave_flow(tid, t[2], flow)
    if enqueue(tid, t[6], flow, tonumber(t[4]), tonumber(t[5])) then count_ready(t[6], 1) end
  end,
  -- It waited too long: nobody may claim it any more. It is leased to nobody, and that lease has ended already.
  x = function(member, tid)
    call('ZREM', T .. 'tm', member)
    local t = call('HMGET', T .. 't:' .. tid, 'st', 'q', 'fl', 'fw')
    local job = T .. 'j:' .. string.sub(tid, 1, 36)
    if call('HGET', job, 'fin') ~= '0' or t[1] == 'L' or not t[1] then return end   -- it is dropped anyway
    if t[1] == 'R' then
      leave_flow(tid, t[2], t[3] .. (t[4] or ''))
    elseif t[1] == 'P' then
      call('SREM', T .. 'pk:' .. string.sub(tid, 1, 36), string.sub(tid, 38))
    else
      call('ZREM', T .. 'tm', 't|' .. tid)
    end
    call('HSET', T .. 't:' .. tid, 'st', 'L', 'w', '', 'nz', '', 'lg', 0, 'hd', now, 'ca', now)
    call('HDEL', T .. 't:' .. tid, 'pr')
    call('HINCRBY', job, 'nl', 1)
    call('ZADD', T .. 'L', now, tid)
  end,
  j = function(member, rest)
    call('ZREM', T .. 'tm', member)
    local jid, wave = string.sub(rest, 1, 36), string.sub(rest, 38)
    local j = call('HMGET', T .. 'j:' .. jid, 'fin', 'wv', 'tl', 'cx', 'ch')
    local waits_for_children = j[4] == '1' and (j[5] or '') ~= ''   -- to be cancelled, and they end first
    if j[1] == '0' and j[2] == wave and not waits_for_children then
      call('RPUSH', T .. 'i:' .. jid, '{"k":"timer"}')
      call('HSET', T .. 'j:' .. jid, 'need', 0)
      if j[3] == '' then call('ZADD', T .. 'D', now, jid) end
    end
  end,
  e = function(member, jid)
    if call('HGET', T .. 'j:' .. jid, 'fin') == '0' then
      call('ZADD', T .. 'tm', now + hold, member)
      overdue[#overdue + 1] = jid
    else
      call('ZREM', T .. 'tm', member)
    end
  end,
  c = function(member, jid)
    call('ZREM', T .. 'tm', member)
    local j = call('HMGET', T .. 'j:' .. jid, 'fin', 'cx', 'tl', 'ch')
    if j[1] == '0' and j[2] == '1' and (j[4] or '') == '' then   -- with a child, its end makes the turn due
      call('HSET', T .. 'j:' .. jid, 'need', 0)
      if j[3] == '' then call('ZADD', T .. 'D', now, jid) end
    end
  end,
  d = function(member, rest)
    call('ZREM', T .. 'tm', member)
    local jid, from, to = string.match(rest, '^([^|]+)|(%d+)|(%d+)$')
    local last = math.min(tonumber(from) + movable, tonumber(to))
    movable = movable - (last - from)
    local tells = call('HGET', T .. 'j:' .. jid, 'fin') == '0' and call('EXISTS', T .. 'h:' .. jid) == 1
    for number = tonumber(from), last - 1 do
      local worker, attempt = drop_task(jid, tostring(number))
      if worker then
        dropped[#dropped + 1] = jid .. '.' .. number
        dropped[#dropped + 1] = worker
        if tells then note(jid, '{"e":"task_dropped","n":' .. number .. ',"a":' .. attempt .. ',"w":"' .. worker .. '"}') end
      end
    end
    if last < tonumber(to) then call('ZADD', T .. 'tm', now, 'd|' .. jid .. '|' .. last .. '|' .. to) end
  end,
  r = function(member, jid)   -- another job took its unique key: it is to be cancelled
    local j = call('HMGET', T .. 'j:' .. jid, 'fin', 'cx', 'ten')
    if j[1] ~= '0' or j[2] == '1' then
      call('ZREM', T .. 'tm', member)
    else
      call('ZADD', T .. 'tm', now + hold, member)
      replaced[#replaced + 1] = { jid, j[3] }
    end
  end,
  g = function(member, gate)
    call('ZREM', T .. 'tm', member)
    open(gate)
  end,
  u = function(member, jid)
    call('ZREM', T .. 'tm', member)
    if call('HGET', T .. 'j:' .. jid, 'tl') ~= PAUSED then unpark(jid, member) end
  end,
  q = function(member, rest)
    local jid, wave = string.sub(rest, 1, 36), string.sub(rest, 38)
    local j = call('HMGET', T .. 'j:' .. jid, 'fin', 'ask', 'need')
    if j[1] == '0' and j[2] == member and tonumber(j[3]) > 0 then
      call('ZADD', T .. 'tm', now + hold, member)
      escalations[#escalations + 1] = { jid, wave }
    else
      call('ZREM', T .. 'tm', member)
    end
  end,
  b = function(member, rest)
    local batch, after = string.match(rest, '^(.*)|(%d+)$')
    local tenant = call('HGET', T .. 'ba:' .. batch, 'ten')
    if not tenant then
      call('ZREM', T .. 'tm', member)
    else
      call('ZADD', T .. 'tm', now + hold, member)
      local jobs = call('ZRANGE', T .. 'bm:' .. batch, '(' .. after, '+inf', 'BYSCORE', 'LIMIT', 0, limits.CANCELS_PER_TICK_MAX, 'WITHSCORES')
      cancels[#cancels + 1] = { batch, tenant, after, jobs }
    end
  end,
  o = function(member, id)
    local m = call('HMGET', T .. 'ob:' .. id, 'b', 'n', 'pa', 'x')
    if m[3] and not m[4] then   -- a child's start: dropped once nobody waits for it
      local pid, wave = string.match(m[3], '^([^|]+)|(%d+)$')
      local p = call('HMGET', T .. 'j:' .. pid, 'fin', 'wv', 'ch', 'pz')
      if p[4] then
        call('ZADD', T .. 'tm', now + hold, member)   -- whoever resumes the parent brings it forward
        return
      end
      if p[1] ~= '0' or p[2] ~= wave or not without_child(p[3], string.sub(id, 1, 36)) then
        call('UNLINK', T .. 'ob:' .. id)
        m[1] = nil
      end
    end
    if not m[1] then
      call('ZREM', T .. 'tm', member)
    else
      call('ZADD', T .. 'tm', now + hold, member)
      messages[#messages + 1] = { id, m[1], m[2], m[4] or '' }
    end
  end,
}
for _, member in ipairs(call('ZRANGEBYSCORE', T .. 'tm', '-inf', now, 'LIMIT', 0, timers_max)) do
  fire[string.sub(member, 1, 1)](member, string.sub(member, 3))
end

-- Which limit of a leased task has passed; '' where only its worker fell silent.
local function passed(worker, hard, close_at, sign_at, heartbeat)
  if close_at and tonumber(close_at) <= now then return 'schedule_to_close' end
  if worker == '' then return 'schedule_to_start' end
  if tonumber(hard) <= now then return 'start_to_close' end
  return heartbeat and sign_at + heartbeat <= now and 'heartbeat' or ''
end

for _, tid in ipairs(call('ZRANGEBYSCORE', T .. 'L', '-inf', now, 'LIMIT', 0, leases_max)) do
  local t = fields(T .. 't:' .. tid, 'st', 'at', 'nz', 'w', 'lg', 'hd', 'ls', 'fx', 'po', 'ca', 'ce', 'sg', 'hb', 'fc',
    'ff')
  if t.st ~= 'L' then
    call('ZREM', T .. 'L', tid)
  else
    call('ZADD', T .. 'L', now + hold, tid)
    leases[#leases + 1] = { tid, t.at, t.nz, t.w, t.lg, passed(t.w, t.hd, t.ce, t.sg, t.hb), t.ls or '0', t.fx or '0', t.po,
      tostring(t.w == '' and 0 or now - tonumber(t.ca)), t.fc or '', tostring(t.ff and now - t.ff or 0),
      t.ce and tostring(t.ce - now) or '' }
  end
end

for i, jid in ipairs(call('ZRANGEBYSCORE', T .. 'D', '-inf', now, 'LIMIT', 0, turns_max)) do
  if call('HGET', T .. 'j:' .. jid, 'fin') ~= '0' then
    call('ZREM', T .. 'D', jid)
  else
    local token = prefix .. i
    local reply = lease_turn(jid, token, ttl)
    turns[#turns + 1] = { jid, token, reply[1], reply[2] }
  end
end

-- First turns of batches' jobs: of each batch some, then of the next.
local first = {}
local room, passed_over = math.min(first_max, turns_max - #turns), 0
while room > 0 and passed_over < passed_over_max do   -- a cancelled batch has many that are over
  local head = call('ZRANGE', T .. 'bl', 0, 0)[1]
  if not head then break end
  local waiting = T .. 'bq:' .. head
  for _, jid in ipairs(call('LPOP', waiting, math.min(room, in_a_row)) or {}) do
    local j = call('HMGET', T .. 'j:' .. jid, 'fin', 'tl', 'wv')
    if j[1] == '0' and j[2] == '' and j[3] == '0' then   -- it has had no turn, whatever its version
      local token = prefix .. 'b' .. room
      local reply = lease_turn(jid, token, ttl)
      first[#first + 1] = { jid, token, reply[1], reply[2] }
      room = room - 1
    else
      passed_over = passed_over + 1
    end
  end
  if call('EXISTS', waiting) == 1 then
    call('ZADD', T .. 'bl', call('ZRANGE', T .. 'bl', -1, -1, 'WITHSCORES')[2] + 1, head)
  else
    call('ZREM', T .. 'bl', head)
  end
end

wake_all()
wake_opened()

local next_due = nil
for _, name in ipairs({ 'L', 'tm', 'D' }) do
  local head = call('ZRANGE', T .. name, 0, 0, 'WITHSCORES')
  if head[2] and (not next_due or tonumber(head[2]) < next_due) then next_due = tonumber(head[2]) end
end
return { 'next_due', next_due and tostring(math.max(0, next_due - now)) or '', 'leases', leases, 'messages', messages,
  'turns', turns, 'dropped', dropped, 'overdue', overdue, 'escalations', escalations, 'first', first,
  'more_first', call('EXISTS', T .. 'bl'), 'cancels', cancels, 'replaced', replaced }
