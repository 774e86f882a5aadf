-- What a turn decided, and how it is written. Included by commit, and by submit for a job's first turn.
-- @include _children
local function read_job()
  return { id = arg(), tenant = arg(), flow = arg(), blueprint = arg(), version = arg(), state = arg(), sub = arg(),
    ctx = arg(), status = arg(), parent = arg(), entry = arg(), tags = arg(), meter = arg(),
    deadline = arg() }
end

-- Write a new job. Its first turn is due in `ttl` ms, held by `token` until then; nil: its first commit comes at once.
-- `latest` is the deadline of the job that starts it, if that has one.
local function make_job(new, token, ttl, watcher, latest)
  call('HSET', T .. 'j:' .. new.id, 'ten', new.tenant, 'fl', new.flow, 'bp', new.blueprint, 'bv', new.version,
    'st', new.status, 's', new.state, 'v', 0, 'wv', 0, 'nt', 0, 'sub', new.sub, 'ctx', new.ctx, 'ct', now, 'ut', now,
    'sa', '', 'fin', '0', 'need', 0, 'tl', token, 'cx', '0', 'tf', 0, 'nl', 0, 'sw', 0, 'spn', 0, 'rc', 0, 'aw', watcher)
  if new.parent ~= '' then call('HSET', T .. 'j:' .. new.id, 'pa', new.parent) end
  if new.meter ~= new.blueprint then call('HSET', T .. 'j:' .. new.id, 'mt', new.meter) end
  local deadline = new.deadline ~= '' and now + tonumber(new.deadline) or nil
  if latest then deadline = math.min(deadline or math.huge, tonumber(latest)) end
  if deadline then
    call('HSET', T .. 'j:' .. new.id, 'dl', deadline)
    call('ZADD', T .. 'tm', deadline, 'e|' .. new.id)
  end
  note(new.id, new.entry)
  call('ZADD', T .. 'xr:' .. new.flow, now, new.id)
  call('ZADD', version_index(new.blueprint, new.version), now, new.id)
  if new.tags ~= '' then
    call('HSET', T .. 'j:' .. new.id, 'tg', new.tags)
    for tag in each_tag(new.tags) do tag_job('xl:', new.flow, tag, now, new.id) end
  end
  if ttl then call('ZADD', T .. 'D', now + ttl, new.id) end
  call('HINCRBY', T .. 'n', new.status, 1)
end

-- A task to be made is the place in ARGV before its arguments, which are read from there: a table for each of them would
-- be most of what a commit leaves to Lua's garbage collector, whose pauses are script time.
local NUMBER, CLASS, KIND, BODY, RULES, TIMEOUT, BAND, LIMITS, FALLBACK, FLOW = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10

local function read_tasks()
  local tasks = {}
  for i = 1, int() do
    tasks[i] = cursor
    cursor = cursor + FLOW
  end
  return tasks
end

-- Keeps the order of tasks made by one script.
local function order_of(task)
  return age + math.floor(task / FLOW)
end

local function read_commit()
  local c = { version = arg(), token = arg(), ttl = int(), next_token = arg(), final = arg() == '1', status = arg(),
    state = arg(), ctx = arg(), need = int(), policy = arg(), wave = arg(), next_task = arg(), current = arg(),
    started = arg() == '1', clear_cancel = arg() == '1', replica = arg(), result = arg(), err = arg(), details = arg(),
    retention = int(), day = arg(), day_ttl = int(), deadline = arg(), entries = {}, messages = {}, drops = {} }
  for i = 1, int() do c.entries[i] = arg() end
  c.tasks = read_tasks()
  for i = 1, int() do c.messages[i] = { arg(), arg() } end
  for i = 1, int() do c.drops[i] = arg() .. '|' .. arg() end
  c.signal, c.parting, c.ask = arg(), arg(), arg()
  c.children = {}
  for i = 1, int() do c.children[i] = arg() == 's' and { id = arg(), body = arg(), spread = true } or read_job() end
  c.print, c.states = arg(), {}
  for i = 1, 2 * int() do c.states[i] = arg() end
  c.claim = arg() == '1' and read_claim() or nil
  return c
end

-- `<class>|<ms>`: the class to which a task moves when it has waited so long for whom it prefers.
local function fallback_of(task)
  return string.match(ARGV[task + FALLBACK], '^([^|]+)|(%d+)$')
end

-- Write the limits of time that not every task has. Returns when it must have ended, and its heartbeat.
local function set_limits(tid, limits)
  local start, close, heartbeat = string.match(limits, '^(%d*)|(%d*)|(%d*)$')
  local key, close_at = T .. 't:' .. tid, close ~= '' and now + tonumber(close) or nil
  if start ~= '' then call('HSET', key, 'ss', start) end
  if close_at then call('HSET', key, 'ce', close_at) end
  if heartbeat ~= '' then call('HSET', key, 'hb', heartbeat) end
  return close_at, tonumber(heartbeat)
end

-- Write a ready task's hash. What most tasks lack is left out (`fw`, and the counts `fx` and `ls` of failures and losses):
-- a hash of more than 16 fields costs half as much again.
local function write_ready(jid, flow, wave, task)
  local tid = jid .. '.' .. ARGV[task + NUMBER]
  call('HSET', T .. 't:' .. tid, 'st', 'R', 'q', ARGV[task + CLASS], 'fl', flow, 'bd', ARGV[task + BAND], 'wv', wave, 'at', 0,
    'to', ARGV[task + TIMEOUT], 'pl', ARGV[task + BODY], 'po', ARGV[task + RULES], 'rs', order_of(task), 'ra', now)
  if ARGV[task + FLOW] ~= '' then call('HSET', T .. 't:' .. tid, 'fw', ARGV[task + FLOW]) end
  if ARGV[task + FALLBACK] ~= '' then
    local cls, ms = fallback_of(task)
    call('HSET', T .. 't:' .. tid, 'gq', cls)
    call('ZADD', T .. 'tm', now + tonumber(ms), 'p|' .. tid)
  end
  if ARGV[task + LIMITS] ~= '' then
    set_limits(tid, ARGV[task + LIMITS])
    limit_wait(tid, now)
  end
end

-- Make tasks ready: those of one class and flow enter it together, so a wide fan costs one call for each task and a few more.
local function make_ready(jid, flow, wave, tasks)
  local groups, order = {}, {}
  for _, task in ipairs(tasks) do
    write_ready(jid, flow, wave, task)
    local name = ARGV[task + CLASS] .. '|' .. ARGV[task + FLOW]
    if not groups[name] then
      call('HSETNX', T .. 'cls', ARGV[task + CLASS], ARGV[task + KIND])
      groups[name] = new_group(ARGV[task + CLASS], flow .. ARGV[task + FLOW])
      order[#order + 1] = groups[name]
    end
    add_entry(groups[name], jid .. '.' .. ARGV[task + NUMBER], tonumber(ARGV[task + BAND]), order_of(task))
  end
  for _, group in ipairs(order) do
    if enqueue_all(group) then count_ready(group.cls, #group.entries / 2) end
  end
end

-- The short way from decided to leased, for a seat that waits while nobody is queued before the task or at its gates.
local function make_leased(jid, flow, wave, task, seat)
  local tid, hard, left, heartbeat = jid .. '.' .. ARGV[task + NUMBER], now + ARGV[task + TIMEOUT], '', nil
  if ARGV[task + LIMITS] ~= '' then
    local close_at
    close_at, heartbeat = set_limits(tid, ARGV[task + LIMITS])
    if close_at and close_at < hard then hard, left = close_at, tostring(close_at - now) end
    if heartbeat then call('HSET', T .. 't:' .. tid, 'sg', now, 'le', now + seat.lease) end
  end
  local cls = fallback_of(task) or ARGV[task + CLASS]   -- should it come back, anybody may have it
  call('HSET', T .. 't:' .. tid, 'st', 'L', 'q', cls, 'fl', flow, 'bd', ARGV[task + BAND], 'wv', wave, 'at', 1,
    'to', ARGV[task + TIMEOUT], 'pl', ARGV[task + BODY], 'po', ARGV[task + RULES], 'rs', order_of(task), 'ra', now,
    'w', seat.worker, 'nz', seat.nonce, 'lg', seat.patient, 'hd', hard, 'ca', now)
  if ARGV[task + FLOW] ~= '' then call('HSET', T .. 't:' .. tid, 'fw', ARGV[task + FLOW]) end
  local before_class, before_flow = class_gates(ARGV[task + CLASS]), flow_gates(flow .. ARGV[task + FLOW], ARGV[task + CLASS])
  local held = hold_all(tid, before_class, before_flow)
  if held ~= '' then call('HSET', T .. 't:' .. tid, 'gs', held) end
  pass_rates(before_class, 1)
  pass_rates(before_flow, 1)
  set_price(T .. 't:' .. tid, price_of(seat, ARGV[task + CLASS]))
  call('HSETNX', T .. 'cls', cls, ARGV[task + KIND])
  call('ZADD', T .. 'L', lease_end(now + seat.lease, hard, now, heartbeat), tid)
  return { tid, '1', ARGV[task + BODY], '0', left }
end

local function list_tasks(jid, tasks, except)
  local numbers = {}
  for _, task in ipairs(tasks) do
    if ARGV[task + NUMBER] ~= except then numbers[#numbers + 1] = ARGV[task + NUMBER] end
  end
  if #numbers > 0 then call('SADD', T .. 'jt:' .. jid, unpack(numbers)) end
end

local function make_tasks(jid, flow, c, entries, cancelling)
  local claimed, queued, seat, idle, serves = {}, {}, 1, {}, {}
  local seats = c.claim and c.claim.seats or {}
  if c.claim and not cancelling then
    for _, cls in ipairs(c.claim.classes) do serves[cls] = true end
  end
  list_tasks(jid, c.tasks, c.current)
  for _, task in ipairs(c.tasks) do
    local cls = ARGV[task + CLASS]
    if idle[cls] == nil then idle[cls] = not is_ready(cls) end
    local is_next = serves[cls] and seats[seat] and idle[cls]
    if is_next and passes(class_gates(cls)) and passes(flow_gates(flow .. ARGV[task + FLOW], cls)) then
      local lease = make_leased(jid, flow, c.wave, task, seats[seat])
      claimed[#claimed + 1] = { tostring(seat), lease[1], lease[2], lease[3], lease[4], lease[5] }
      if c.claim.history then entries[#entries + 1] = stamped(started(ARGV[task + NUMBER], 1, seats[seat].worker)) end
      seat = seat + 1
    else
      queued[#queued + 1] = task
      idle[cls] = false
    end
  end
  make_ready(jid, flow, c.wave, queued)
  return claimed, seat
end

-- List a job that ended without a result, by its day, and under the fingerprint of its error.
local function list_failure(jid, job, flow, c)
  local place = c.day .. ':' .. flow
  call('HSET', job, 'fp', c.print, 'fd', c.day)
  for _, key in ipairs({ T .. 'xb:' .. place, T .. 'xe:' .. place .. ':' .. c.print }) do
    call('ZADD', key, now, jid)
    call('PEXPIRE', key, c.day_ttl)
  end
  call('HINCRBY', T .. 'er:' .. place, c.print, 1)
  call('PEXPIRE', T .. 'er:' .. place, c.day_ttl)
end

local function end_job(jid, job, flow, c, j)
  if j.pa and j.pa ~= '' then deliver_end(j.pa, jid, c.parting) end
  call('HSET', job, 'fin', '1', 'ft', now, 'res', c.result, 'err', c.err, 'det', c.details)
  call('ZREM', T .. 'tm', 'c|' .. jid, 'e|' .. jid)
  call('ZREM', T .. 'xr:' .. flow, jid)
  local of = call('HMGET', job, 'bp', 'bv')
  call('ZREM', version_index(of[1], of[2]), jid)
  local index = T .. 'xf:' .. c.day .. ':' .. flow
  call('ZADD', index, now, jid)
  call('PEXPIRE', index, c.day_ttl)
  local created, tags = count_job(jid, c.status == 'finished')
  for tag in each_tag(tags) do
    call('ZREM', T .. 'xl:' .. flow .. ':' .. tag, jid)
    call('PEXPIRE', tag_job('xt:', flow, tag, created, jid), c.day_ttl)
  end
  if c.print ~= '' then list_failure(jid, job, flow, c) end
  announce(jid, j.aw, c.replica)   -- the caller tells its own watchers itself
  announce(jid, j.al, nil, 'l')
  call('HDEL', job, 'aw', 'ac', 'al')
  call('UNLINK', T .. 'sb:' .. jid, T .. 'pk:' .. jid)
  call('PEXPIRE', job, c.retention)
  for _, kind in ipairs({ 'h:', 'jt:', 'lg:', 'sp:', 'md:', 'fa:', 'en:' }) do call('PEXPIRE', T .. kind .. jid, c.retention) end
end

-- How many results are still needed, and the policy then: a fan that was spawned ahead may have some already.
local function settle_mailbox(jid, c, spawn_wave, failed_early)
  local need = c.need
  call('UNLINK', T .. 'i:' .. jid)
  if spawn_wave == '0' then return need, c.policy end
  if spawn_wave ~= c.wave or c.final then
    call('UNLINK', T .. 'e:' .. jid)
    return need, c.policy
  end
  local early = call('LLEN', T .. 'e:' .. jid)
  if early > 0 then call('RENAME', T .. 'e:' .. jid, T .. 'i:' .. jid) end
  local failures = tonumber(failed_early) or 0
  return after_failures(c.policy, need - early + failures, failures)
end

-- The oldest signal of one of the names (hashes, separated by commas) that came before the job waited for it. Of at most a hundred.
local function take_signal(jid, names)
  local kept, oldest, name = T .. 'sb:' .. jid, nil, nil
  for _, field in ipairs(call('HKEYS', kept)) do
    local known, place = string.match(field, '^([^|]+)|(%d+)$')
    if known and string.find(',' .. names .. ',', ',' .. known .. ',', 1, true) and (not oldest or tonumber(place) < oldest) then
      oldest, name = tonumber(place), known
    end
  end
  if not oldest then return nil end
  local field = name .. '|' .. oldest
  local item = call('HGET', kept, field)
  call('HDEL', kept, field)
  return item
end

local function set_timers(jid, job, c, old)
  if old and old ~= '' then call('ZREM', T .. 'tm', old) end
  for _, message in ipairs(c.messages) do send_soon(message[1], message[2]) end
  for _, range in ipairs(c.drops) do call('ZADD', T .. 'tm', now, 'd|' .. jid .. '|' .. range) end
  if c.deadline == '' then return '' end
  local timer = 'j|' .. jid .. '|' .. c.wave
  call('ZADD', T .. 'tm', now + tonumber(c.deadline), timer)
  return timer
end

-- Make the children that the job waits for from now on, or have them made. Returns its `ch`.
local function make_children(jid, c, deadline)
  local names = {}
  for i, child in ipairs(c.children) do
    names[i] = child.id .. (child.spread and '*' or '')
    if child.spread then
      start_spread(jid, c.wave, child.id, child.body)
    else
      make_job(child, '', 0, '', deadline)
      announce_to_tenant(child.id, child.flow, 0)
    end
  end
  return table.concat(names, ',')
end

local function commit(jid, c)
  local job = T .. 'j:' .. jid
  local j = fields(job, 'v', 'tl', 'lc', 'st', 'fl', 'cx', 'sa', 'tmr', 'ac', 'sw', 'fin', 'ef', 'nl', 'aw',
    'nt', 'spn', 'al', 'pa', 'dl', 'ask', 'ba', 'ad', 'ch', 'wv')
  if not j.v then return { 'gone' } end
  if j.lc == c.token then
    if j.tl ~= c.next_token then return { 'ok', {}, tostring(now) } end
    local reply = turn_reply(jid)
    return { 'again', {}, tostring(now), reply[1], reply[2] }
  end
  if j.v ~= c.version or j.tl ~= c.token or j.fin == '1' then return { 'stale' } end

  local flow, entries = j.fl, {}
  local cancelling = j.cx == '1' and not c.clear_cancel
  for i, blob in ipairs(c.entries) do entries[i] = stamped(blob) end
  -- What this turn itself spawned is unknown to the caller's record; nobody will wait for it.
  if c.final and j.sw ~= '0' then c.drops[#c.drops + 1] = j.nt .. '|' .. j.spn end
  local need, policy = settle_mailbox(jid, c, j.sw, j.ef)
  local came = c.signal ~= '' and not cancelling and take_signal(jid, c.signal)
  if came then
    call('RPUSH', T .. 'i:' .. jid, came)
    need = 0
  end
  local timer = set_timers(jid, job, c, j.tmr)
  close_question(jid, flow, j.ask)
  if c.ask ~= '' then open_question(jid, flow, c.wave, c.ask) end
  local claimed, seat = make_tasks(jid, flow, c, entries, cancelling)
  for child in each_child(j.ch) do stop_child(jid, j.wv, child) end   -- those that lost a race
  local children = cancelling and '' or make_children(jid, c, j.dl)
  note_all(jid, entries)
  if #c.states > 0 then call('HSET', T .. 'en:' .. jid, unpack(c.states)) end
  local begun = c.started or #claimed > 0
  call('HSET', job, 'v', tonumber(c.version) + 1, 'tl', '', 'lc', c.token, 'st', c.status, 's', c.state, 'ctx', c.ctx,
    'pol', policy, 'wv', c.wave, 'nt', c.next_task, 'cur', c.current, 'ut', now, 'tf', 0, 'sw', 0, 'spn', 0,
    'pg', '', 'pm', '', 'need', need, 'ef', '', 'tmr', timer, 'nl', tonumber(j.nl) + #claimed,
    'sa', begun and j.sa == '' and now or j.sa, 'cx', c.clear_cancel and '0' or j.cx,
    'ch', children, 'ws', c.signal)
  call('ZREM', T .. 'D', jid)
  count_status(j.st, c.status)
  if j.ba then count_in_batch(jid, j.ba, j.st, c.status, c.final) end
  if j.ad and begun and j.sa == '' then leave_queue(j.ad) end
  if j.ad and c.final then release_admission(jid, j.ad, j.sa == '' and not begun) end
  if c.final then end_job(jid, job, flow, c, j) end
  announce(jid, j.ac)
  announce_to_tenant(jid, flow)

  if c.claim and c.claim.seats[seat] then
    for _, got in ipairs(take(c.claim, seat)) do
      claimed[#claimed + 1] = got
      if string.sub(got[2], 1, 36) == jid then
        count_ready(call('HGET', T .. 't:' .. got[2], 'q'), -1)
      end
    end
  end
  wake_all()
  wake_opened(c.replica)

  if not c.final and (need <= 0 or cancelling) then
    local reply = lease_turn(jid, c.next_token, c.ttl)
    return { 'again', claimed, tostring(now), reply[1], reply[2] }
  end
  return { 'ok', claimed, tostring(now) }
end
