-- Flows, their tickets and their gates (docs/adr/0015-flows-tickets-and-gates.md). Part of _queue.
--
-- A flow is `<tenant>[/b<blueprint>][/c<type>][/k<key>.<group>][/w<job>.<wave>.<at once>]`: all its tasks stand under the same
-- gates. A gate is called after the flow's part: `t:`, `b:`, `k:`, `w:` and so on; `*` and `c:<class>` stand before all.
--   gl  policies by gate: `<max>|<micros between>|<micros ahead>|<cost of a ticket>|<1: being counted>`
--   g:<gate>  tasks that hold its slots        gh  gates that somebody holds      gr:<gate>  GCRA's arrival time
--   gf:<gate>|<class>  flows parked there      gp  `<class>|<flow>` to the gate where it is parked
--   gw:<gate>  classes that it shut            go:<class>  gates that opened again and have parked flows of the class
local STRIDE = limits.TICKET_COST
local BANDS = 64
local BAND_AGE = limits.BAND_AGE_MS * 100   -- inside a flow, in units of 10 microseconds
local BAND_WORTH = limits.BAND_SERVICES * STRIDE
local SHARE_MAX = limits.SHARE_MAX
local OPENED_MAX = 16           -- classes that one free slot looks at
local LOOK_AGAIN_MS = 1000      -- where more classes wait at an open gate than were told
local TAGS_TTL = 3600000
local micros = clock[1] * 1000000 + clock[2]

-- Scores carry the band in their last place, so it can be told and taken off again.
local function task_score(band, order)
  return (order + band * BAND_AGE) * BANDS + band
end

local function flow_score(ticket, band)
  return (ticket + band * BAND_WORTH) * BANDS + band
end

local function ticket_of(score)
  local band = score % BANDS
  return (score - band) / BANDS - band * BAND_WORTH
end

-- Policies

local policies, limited, all_read = {}, nil, false
local function any_limit()
  if limited == nil then limited = call('EXISTS', T .. 'gl') == 1 end
  return limited
end

local function read_policy(text)
  local most, between, ahead, cost, counting = string.match(text, '^(%d*)|(%d*)|(%d*)|(%d*)|(%d*)$')
  return { most = tonumber(most), between = tonumber(between), ahead = tonumber(ahead), cost = tonumber(cost),
    counting = counting == '1' }
end

-- For who looks at many gates: all policies at once, where these are fewer.
local function read_policies(gates)
  if not any_limit() or call('HLEN', T .. 'gl') > gates then return end
  local flat = call('HGETALL', T .. 'gl')
  for i = 1, #flat, 2 do policies[flat[i]] = read_policy(flat[i + 1]) end
  all_read = true
end

local function policy(gate)
  if not any_limit() then return nil end
  local known = policies[gate]
  if known == nil then
    local text = not all_read and call('HGET', T .. 'gl', gate)
    known = text and read_policy(text) or false
    policies[gate] = known
  end
  return known or nil
end

-- A key's own policy, or else that of its group; a fan carries its own.
local function policy_of(gate)
  local kind = string.sub(gate, 1, 2)
  if kind == 'w:' then return { most = tonumber(string.match(gate, '%d+$')) } end
  if kind ~= 'k:' then return policy(gate) end
  local key, group = string.match(gate, '^k:(.-)%.(.*)$')
  if not key then return policy(gate) end
  return policy('k:' .. key) or policy('k:' .. group)
end

local function tenant_of(flow)
  return string.match(flow, '^[^/]*')
end

local function ticket_cost(tenant)
  local p = policy('t:' .. tenant)
  return p and p.cost or STRIDE
end

-- The gates with a policy that all tasks of a class (or of a flow) stand under: {name, policy} each.
local NONE, known_gates = {}, {}
local function with_policy(names)
  local gates = {}
  for _, name in ipairs(names) do
    local p = policy_of(name)
    if p and (p.most or p.between) then gates[#gates + 1] = { name = name, policy = p } end
  end
  return gates
end

local function class_gates(cls)
  if not any_limit() then return NONE end
  local key = 'c:' .. cls
  if not known_gates[key] then known_gates[key] = with_policy({ '*', key }) end
  return known_gates[key]
end

-- Without the class's own, which a flow names where its tasks may wait in another class than their type's.
local function flow_gates(flow, cls)
  if not any_limit() and not string.find(flow, '/w', 1, true) then return NONE end
  local known, of_class = flow .. '|' .. cls, 'c' .. cls
  if not known_gates[known] then
    local tenant = tenant_of(flow)
    local names = { 't:' .. tenant }
    for part in string.gmatch(string.sub(flow, #tenant + 1), '[^/]+') do
      if part ~= of_class then names[#names + 1] = string.sub(part, 1, 1) .. ':' .. string.sub(part, 2) end
    end
    known_gates[known] = with_policy(names)
  end
  return known_gates[known]
end

-- How many more may pass a gate now; with 0 because of its rate, also when the next one may (ms). The rate is the
-- generic cell rate algorithm, virtual scheduling (ITU-T I.371, annex A): what is kept is when the next one would come
-- if all came evenly.
local function room(gate, p)
  local free = math.huge
  if p.most then
    if p.counting then return 0 end
    free = p.most - (p.most > 0 and call('ZCARD', T .. 'g:' .. gate) or 0)
    if free <= 0 then return 0 end
  end
  if p.between then
    local arrival = tonumber(call('GET', T .. 'gr:' .. gate) or 0)
    local passes = math.floor((micros + p.ahead - math.max(arrival, micros)) / p.between) + 1
    if passes <= 0 then return 0, math.ceil((arrival - p.ahead) / 1000) end
    free = math.min(free, passes)
  end
  return free
end

-- The tightest of some gates: how many may pass, which gate it is, when it opens where it is shut by its rate.
local function room_of(gates)
  local free, tightest, opens = math.huge, nil, nil
  for _, gate in ipairs(gates) do
    local passes, at = room(gate.name, gate.policy)
    if passes < free then free, tightest, opens = passes, gate.name, at end
  end
  return free, tightest, opens
end

local function pass_rates(gates, count)
  for _, gate in ipairs(gates) do
    local p = gate.policy
    if p.between and count > 0 then
      local key = T .. 'gr:' .. gate.name
      local arrival = math.max(tonumber(call('GET', key) or 0), micros) + count * p.between
      call('SET', key, string.format('%.0f', arrival), 'PX', string.format('%.0f', math.ceil((arrival - micros) / 1000) + 1))
    end
  end
end

-- Slots

local listed = {}
local function hold(tid, gate)
  call('ZADD', T .. 'g:' .. gate, now, tid)
  if not listed[gate] then
    call('SADD', T .. 'gh', gate)
    listed[gate] = true
  end
end

-- Take a slot of each gate that has them. Returns their names, as the task's `gs` keeps them.
local function hold_all(tid, ...)
  local held = {}
  for _, gates in ipairs({ ... }) do
    for _, gate in ipairs(gates) do
      if gate.policy.most then
        hold(tid, gate.name)
        held[#held + 1] = gate.name
      end
    end
  end
  return table.concat(held, ' ')
end

-- Waiting at gates

local nudge_at = nil
local function look_again(gate, at)
  if call('ZADD', T .. 'tm', 'LT', 'CH', at, 'g|' .. gate) == 1 then nudge_at = math.min(nudge_at or at, at) end
end

local function shut(cls, gate, opens)
  call('ZADD', T .. 'gw:' .. gate, 'NX', now, cls)
  if opens then look_again(gate, opens) end
end

local function is_ready(cls)
  return call('EXISTS', T .. 'q:' .. cls, T .. 'go:' .. cls) > 0
end

-- Wake up to `count` registered replicas. Nobody listening on a channel means a dead replica: try the next. A class that
-- is shut wakes nobody: it is told when its gate opens.
local function wake(cls, count)
  local free, gate, opens = room_of(class_gates(cls))
  if free <= 0 then return shut(cls, gate, opens) end
  local left = math.min(count, 8, free)
  for _ = 1, 16 do
    if left <= 0 then return end
    local popped = call('ZPOPMIN', T .. 'wt:' .. cls)
    if not popped[1] then return end
    if call('SPUBLISH', T .. '!' .. popped[1], 'c|' .. cls) > 0 then left = left - 1 end
  end
end

-- Tasks that this script made ready, by class, and the classes in the order in which the first task of each came. Who waits for
-- them is told at the script's end (`wake_all`), as the script itself may take some.
local made_ready, made_classes = {}, {}
local function count_ready(cls, count)
  if not made_ready[cls] then made_ready[cls], made_classes[#made_classes + 1] = 0, cls end
  made_ready[cls] = made_ready[cls] + count
end

local function wake_all()
  for _, cls in ipairs(made_classes) do
    if made_ready[cls] > 0 then wake(cls, made_ready[cls]) end
  end
end

-- A gate may have room again: the classes it shut may pass, as many as it has room for replicas that wait for them.
-- Who is told is seen to at the script's end (`wake_opened`), as the script itself may take what there is.
local opened = {}
local function open(gate)
  local waiting = T .. 'gw:' .. gate
  if call('EXISTS', waiting) == 0 then return end
  local p, free, opens = policy_of(gate), OPENED_MAX, nil
  if p then free, opens = room(gate, p) end
  if free <= 0 then
    if opens then look_again(gate, opens) end
    return
  end
  for _ = 1, OPENED_MAX do
    local popped = call('ZPOPMIN', waiting)
    if not popped[1] then return end
    local cls = popped[1]
    if call('EXISTS', T .. 'gf:' .. gate .. '|' .. cls) == 1 then call('ZADD', T .. 'go:' .. cls, 'NX', now, gate) end
    opened[#opened + 1] = cls
    if call('EXISTS', T .. 'wt:' .. cls) == 1 then free = free - 1 end
    if free <= 0 then break end
  end
  if call('EXISTS', waiting) == 1 then look_again(gate, now + LOOK_AGAIN_MS) end
end

-- With `rid`, that replica learns of a timer that was set: it may be due before the next tick.
local function wake_opened(rid)
  local classes = opened
  opened = {}
  for _, cls in ipairs(classes) do
    if is_ready(cls) then wake(cls, 1) end
  end
  if nudge_at and rid and rid ~= '' then
    call('SPUBLISH', T .. '!' .. rid, 'd|' .. math.max(nudge_at - now, 0))
    nudge_at = nil
  end
end

local function leave_slot(tid, gate)
  local key = T .. 'g:' .. gate
  call('ZREM', key, tid)
  if call('EXISTS', key) == 0 then
    call('SREM', T .. 'gh', gate)
    listed[gate] = nil
  end
end

-- Every way in which a lease ends goes through here. `held` is the task's `gs`. Call `wake_opened` at the script's end.
local function end_lease(tid, held)
  call('ZREM', T .. 'L', tid)
  for gate in string.gmatch(held or '', '%S+') do
    leave_slot(tid, gate)
    open(gate)
  end
end

-- Tickets: start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) between tenants. Each flow in `q:` has a ticket;
-- the tenant's tag is where its next one starts. So a thousand flows of a tenant share what one would get.

local virtual = {}
local function virtual_time(cls)
  if not virtual[cls] then virtual[cls] = tonumber(call('HGET', T .. 'V', cls) or 0) end
  return virtual[cls]
end

local function set_virtual_time(cls, at)
  if at > virtual_time(cls) then
    virtual[cls] = at
    call('HSET', T .. 'V', cls, at)
  end
end

local function set_tag(cls, tenant, tag)
  local tags = T .. 'vt:' .. cls
  call('ZADD', tags, tag, tenant)
  call('PEXPIRE', tags, TAGS_TTL)
end

local function enter(cls, flow, band)
  local tenant = tenant_of(flow)
  local start = math.max(virtual_time(cls), tonumber(call('ZSCORE', T .. 'vt:' .. cls, tenant) or 0))
  set_tag(cls, tenant, start + ticket_cost(tenant))
  call('ZADD', T .. 'q:' .. cls, flow_score(start, band), flow)
end

-- Take a flow that lost its last task out of where it stands. A ticket that was not used is given back.
local function forget_flow(cls, flow)
  if call('ZREM', T .. 'q:' .. cls, flow) == 1 then
    local tenant = tenant_of(flow)
    if call('ZSCORE', T .. 'vt:' .. cls, tenant) then
      call('ZINCRBY', T .. 'vt:' .. cls, -ticket_cost(tenant), tenant)
    end
    return
  end
  local gate = call('HGET', T .. 'gp', cls .. '|' .. flow)
  if not gate then return end
  local parked = T .. 'gf:' .. gate .. '|' .. cls
  call('HDEL', T .. 'gp', cls .. '|' .. flow)
  call('ZREM', parked, flow)
  if call('EXISTS', parked) == 0 then
    call('ZREM', T .. 'gw:' .. gate, cls)
    call('ZREM', T .. 'go:' .. cls, gate)
  end
end

local function leave_flow(tid, cls, flow)
  local f = T .. 'f:' .. cls .. '|' .. flow
  if call('ZREM', f, tid) == 1 and call('EXISTS', f) == 0 then forget_flow(cls, flow) end
end

-- Where a flow stands in line: the key, its score or nil, the gate at which it is parked or nil.
local function place_of(cls, flow)
  local score = call('ZSCORE', T .. 'q:' .. cls, flow)
  if score then return T .. 'q:' .. cls, tonumber(score) end
  local gate = call('HGET', T .. 'gp', cls .. '|' .. flow)
  if not gate then return T .. 'q:' .. cls end
  local parked = T .. 'gf:' .. gate .. '|' .. cls
  return parked, tonumber(call('ZSCORE', parked, flow)), gate
end

-- Ready tasks that enter a flow together. `first` is the one of them that is served first.
local function new_group(cls, flow)
  return { cls = cls, flow = flow, entries = {} }
end

local function add_entry(group, tid, band, order)
  local entries = group.entries
  entries[#entries + 1], entries[#entries + 2] = task_score(band, order), tid
  if not group.first or band < group.band then group.first, group.band = tid, band end
end

-- Put them into their flow, which stands in line with the band of its first task. False where nobody can find them now,
-- as the flow is parked at a gate that is shut.
local function enqueue_all(group)
  local cls, flow, band = group.cls, group.flow, group.band
  local f = T .. 'f:' .. cls .. '|' .. flow
  call('ZADD', f, unpack(group.entries))
  local place, score, gate = place_of(cls, flow)
  if not score then
    enter(cls, flow, band)
  elseif band < score % BANDS and call('ZRANK', f, group.first) == 0 then
    call('ZADD', place, flow_score(ticket_of(score), band), flow)
  end
  return not gate or call('ZSCORE', T .. 'go:' .. cls, gate) ~= false
end

local function enqueue(tid, cls, flow, band, order)
  local group = new_group(cls, flow)
  add_entry(group, tid, band, order)
  return enqueue_all(group)
end

-- The flow's turn has come, and its gate is shut: it waits there, and keeps its ticket.
local function park(cls, flow, score, gate, opens)
  call('ZREM', T .. 'q:' .. cls, flow)
  call('ZADD', T .. 'gf:' .. gate .. '|' .. cls, score, flow)
  call('HSET', T .. 'gp', cls .. '|' .. flow, gate)
  call('ZREM', T .. 'go:' .. cls, gate)
  shut(cls, gate, opens)
end

-- Bring back up to `most` flows that are parked at gates which have room again. Notes the gates in `visited`.
local function pull(cls, most, visited)
  local gates, count = T .. 'go:' .. cls, 0
  for _, gate in ipairs(call('ZRANGE', gates, 0, OPENED_MAX - 1)) do
    if count >= most then break end
    local parked, p, free, opens = T .. 'gf:' .. gate .. '|' .. cls, policy_of(gate), most, nil
    visited[#visited + 1] = gate
    if p then free, opens = room(gate, p) end
    if free <= 0 then
      call('ZREM', gates, gate)
      shut(cls, gate, opens)
    else
      local popped = call('ZPOPMIN', parked, math.min(free, most - count))
      for i = 1, #popped, 2 do
        local flow, score = popped[i], tonumber(popped[i + 1])
        call('HDEL', T .. 'gp', cls .. '|' .. flow)
        local ticket = math.max(ticket_of(score), virtual_time(cls))
        call('ZADD', T .. 'q:' .. cls, flow_score(ticket, score % BANDS), flow)
        count = count + 1
      end
      call('ZREM', gates, gate)
      if call('EXISTS', parked) == 1 then call('ZADD', gates, now, gate) end
    end
  end
  return count
end

-- The flow whose turn it is, as `turn`: its ticket, what a task costs it, its tenant's tag, whether nobody else is in
-- line; and how many tasks it may have in a row. As many as leave it before the next one in line, or a few where it is
-- the tenant's only flow: its next ticket is so much later then. Of a tenant with several each gets one.
local function turn_of(cls, flow, score, next_score)
  local turn = { cls = cls, flow = flow, alone = next_score == nil, ticket = ticket_of(score), tenant = tenant_of(flow) }
  turn.cost = ticket_cost(turn.tenant)
  if turn.alone then
    turn.in_a_row = math.huge
    return turn
  end
  local paid = turn.ticket + turn.cost
  turn.tag = math.max(tonumber(call('ZSCORE', T .. 'vt:' .. cls, turn.tenant) or 0), paid)
  turn.in_a_row = 1
  if turn.tag == paid then
    local few = next_score % BANDS == score % BANDS and SHARE_MAX or 1
    turn.in_a_row = math.max(few, math.floor((next_score - score) / (turn.cost * BANDS)) + 1)
  end
  return turn
end

-- After `taken` of its tasks: the rest (band of the next one, or nil) gets a new ticket. A flow that is alone moves
-- virtual time on with it, so nothing has to be remembered.
local function charge_flow(turn, taken, next_band)
  local cls, flow, ticket, cost = turn.cls, turn.flow, turn.ticket, turn.cost
  local q = T .. 'q:' .. cls
  if taken == 0 then
    if next_band then
      call('ZADD', q, flow_score(ticket, next_band), flow)
    else
      forget_flow(cls, flow)
    end
    return
  end
  if turn.alone then
    local finish = ticket + taken * cost
    set_virtual_time(cls, finish)
    if next_band then
      call('ZADD', q, flow_score(finish, next_band), flow)
    else
      call('ZREM', q, flow)
    end
    return
  end
  set_virtual_time(cls, ticket)
  local tag = turn.tag + (taken - 1) * cost
  if next_band then
    local start = math.max(virtual_time(cls), tag)
    call('ZADD', q, flow_score(start, next_band), flow)
    tag = start + cost
  else
    call('ZREM', q, flow)
  end
  set_tag(cls, turn.tenant, tag)
end

-- Whether a task may go to a worker without standing in line: it passes every gate, and nobody waits at any.
local function passes(gates)
  for _, gate in ipairs(gates) do
    if room(gate.name, gate.policy) <= 0 or call('EXISTS', T .. 'gw:' .. gate.name) == 1 then return false end
  end
  return true
end
