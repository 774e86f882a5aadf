#!lua flags=no-writes
--[[
standing: read at one moment what a job waits for: its turn, its timers, its live tasks and their place in line, the
signals it keeps, and the gates that let none of its ready tasks pass.

KEYS  1 the partition's tag
ARGV  job, tasks max, task types counted in line max, flows looked at for one place in line max, holders of a gate max
OUT   {header, current task's {status, worker} or {}, now ms, turn's ms or '', turn held (0|1), items needed,
      timer's ms or '', grace's end ms or '', live tasks, tasks, {(hash of a signal's name | order)...}, gates} | {}
      task: {number, status, type, attempt, worker, since ms, until ms, failures, losses, tasks before it or '', class,
      until when it waits for whom it prefers or '', how a gated one went back, requeues, ms when it has waited too long
      or '', ms of its schedule_to_close or '', rules of a gated one, names of shut gates of a ready one}
      gate: {name, slots held, slots or '', ms when its rate lets the next one pass or '', being counted (0|1), {task...}}
TWICE reads only
]]
-- @include _queue
local jid, tasks_max, kinds_max, flows_max, holders_max = arg(), int(), int(), int(), int()
local j = call('HMGET', T .. 'j:' .. jid, 'fin', 'tl', 'need', 'tmr', 'cur', 'wv')
if not j[1] then return {} end

local function score_of(key, member)
  local score = member ~= '' and call('ZSCORE', T .. key, member)
  return score and string.format('%.0f', tonumber(score)) or ''
end

-- Of the flows in line those before it, by the tickets they have now. Flows are served up to four tasks at a time, so with
-- several it may be off by some. In a flow that is parked only its own tasks count.
local function before(tid, cls, flow)
  local q, rank = T .. 'q:' .. cls, call('ZRANK', T .. 'f:' .. cls .. '|' .. flow, tid)
  local score, count = call('ZSCORE', q, flow), rank
  if not score then return count end
  local at = (tonumber(score) - tonumber(score) % BANDS) / BANDS + rank * STRIDE
  local flows = call('ZRANGE', q, 0, flows_max - 1, 'WITHSCORES')
  for i = 1, #flows, 2 do
    if flows[i] ~= flow then
      local theirs = tonumber(flows[i + 1])
      local lead = math.ceil((at - (theirs - theirs % BANDS) / BANDS) / STRIDE)
      count = count + math.min(call('ZCARD', T .. 'f:' .. cls .. '|' .. flows[i]), math.max(lead, 0))
    end
  end
  return count
end

-- Gates are looked at once, whatever the number of tasks that stand under them. Holders are told of a few: the others are
-- gates of further keys of a group, and full.
local GATES_TOLD = 10
local gates, looked_at = {}, {}
read_policies(tasks_max)
local function is_shut(gate)
  if looked_at[gate.name] == nil then
    local p = gate.policy
    local free, opens = room(gate.name, p)
    looked_at[gate.name] = free <= 0
    if free <= 0 then
      local key, held, holders = T .. 'g:' .. gate.name, p.most or 0, {}
      if #gates < GATES_TOLD then held, holders = call('ZCARD', key), call('ZRANGE', key, 0, holders_max - 1) end
      gates[#gates + 1] = { gate.name, tostring(held), p.most and tostring(p.most) or '',
        opens and string.format('%.0f', opens) or '', p.counting and '1' or '0', holders }
    end
  end
  return looked_at[gate.name]
end

local function shut_gates(cls, flow)
  local shut = {}
  for _, some in ipairs({ class_gates(cls), flow_gates(flow, cls) }) do
    for _, gate in ipairs(some) do
      if is_shut(gate) then shut[#shut + 1] = gate.name end
    end
  end
  return shut
end

local numbers = call('SRANDMEMBER', T .. 'jt:' .. jid, tasks_max)
local live = call('SCARD', T .. 'jt:' .. jid)
local current = {}
if j[5] and j[5] ~= '' then
  numbers[#numbers + 1] = j[5]
  current = call('HMGET', T .. 't:' .. jid .. '.' .. j[5], 'st', 'w')
  if current[1] then live = live + 1 end
end

local tasks, kinds, first, classes = {}, {}, {}, {}
for _, number in ipairs(numbers) do
  local tid = jid .. '.' .. number
  local t = call('HMGET', T .. 't:' .. tid, 'st', 'q', 'fl', 'at', 'w', 'ca', 'ra', 'fx', 'ls', 'wv', 'pb', 'rq',
    'ce', 'po', 'fw')
  if t[1] and t[10] == j[6] then
    local cls, place = t[2], #tasks + 1
    if not kinds[cls] then kinds[cls] = call('HGET', T .. 'cls', cls) or '' end
    local since, till, shut = t[6] or '', '', {}
    if t[1] == 'L' then
      till = score_of('L', tid)
    elseif t[1] == 'G' then
      since, till = '', score_of('tm', 't|' .. tid)
    else
      since = t[7]
      local flow = t[3] .. (t[15] or '')
      shut = shut_gates(cls, flow)
      local score = tonumber(call('ZSCORE', T .. 'f:' .. cls .. '|' .. flow, tid) or 0)
      if score > 0 and not first[cls] then classes[#classes + 1] = cls end
      if score > 0 and (not first[cls] or score < first[cls].score) then
        first[cls] = { score = score, tid = tid, flow = flow, place = place }
      end
    end
    tasks[place] = { number, t[1], kinds[cls], t[4], t[5] or '', since, till, t[8] or '0', t[9] or '0', '', cls,
      t[1] == 'R' and score_of('tm', 'p|' .. tid) or '', t[1] == 'G' and t[11] or '', t[12] or '0',
      score_of('tm', 'x|' .. tid), t[13] or '', t[1] == 'G' and t[14] or '', shut }
  end
end
for i = 1, math.min(#classes, kinds_max) do
  local task = first[classes[i]]
  tasks[task.place][10] = tostring(before(task.tid, classes[i], task.flow))
end

return { header(jid), current, tostring(now), j[1] == '0' and score_of('D', jid) or '', (j[2] or '') ~= '' and '1' or '0',
  j[3] or '0', score_of('tm', j[4] or ''), score_of('tm', 'c|' .. jid), tostring(live), tasks,
  call('HKEYS', T .. 'sb:' .. jid), gates }
