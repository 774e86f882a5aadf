-- Shared by every script that touches the queue. Included after the header, before the script's own lines.
local T = KEYS[1]
local call = redis.call
local EPOCH = 1735689600      -- 2025-01-01; ages count from here in units of 10 microseconds
local METER_FIELDS_MAX = 3000  -- of a tenant and day, three for each meter
local DAY_MS = 86400000
local POPS_MAX = 256          -- abandoned tasks a claim clears away before it gives up its turn
local PAUSED = '~paused'     -- who holds the turn of a paused job; no caller's token is spelled so
local cursor = 0

local function arg()
  cursor = cursor + 1
  return ARGV[cursor]
end

local function int()
  return tonumber(arg())
end

-- Members of a hash by their names; false where there is none.
local function fields(key, ...)
  local values, found = call('HMGET', key, ...), {}
  for i, name in ipairs({ ... }) do found[name] = values[i] end
  return found
end

local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local age = (clock[1] - EPOCH) * 100000 + math.floor(clock[2] / 10)

-- History entries: `<ms>:<duration ms or ''>|<blob>` each. Empty blobs are left out.
local function stamped(blob, duration)
  return now .. ':' .. (duration or '') .. '|' .. blob
end

local function note_all(jid, entries)
  if #entries > 0 and call('RPUSH', T .. 'h:' .. jid, unpack(entries)) > 1100 then
    call('LTRIM', T .. 'h:' .. jid, -1000, -1)
  end
end

local function note(jid, blob, duration)
  if blob ~= '' then note_all(jid, { stamped(blob, duration) }) end
end

-- Put a job into the index of live (`xl:`) or final (`xt:`) jobs of a tag.
local function tag_job(kind, flow, tag, created, jid)
  local index = T .. kind .. flow .. ':' .. tag
  call('ZADD', index, created, jid)
  call('ZREMRANGEBYRANK', index, 0, -limits.TAG_JOBS_MAX - 1)
  return index
end

-- Live jobs of one version of a blueprint, by creation.
local function version_index(blueprint, version)
  return T .. 'bj:' .. string.sub(redis.sha1hex(blueprint .. '|' .. version), 1, 16)
end

local function each_tag(tags)
  return string.gmatch(tags or '', '[^,]+')
end

local function started(number, attempt, worker)
  return '{"e":"task_started","n":' .. number .. ',"a":' .. attempt .. ',"w":"' .. worker .. '"}'
end

local function count_status(old, new)
  if old ~= new then
    call('HINCRBY', T .. 'n', old, -1)
    call('HINCRBY', T .. 'n', new, 1)
  end
end

-- Tell the replicas that asked about this job. `watchers` is the header's comma list; `kind` j: it changed, l: its log.
local function announce(jid, watchers, except, kind)
  if watchers and watchers ~= '' then
    for rid in string.gmatch(watchers, '[^,]+') do
      if rid ~= except then call('SPUBLISH', T .. '!' .. rid, (kind or 'j') .. '|' .. jid) end
    end
  end
end

-- Replicas where somebody follows all jobs of a tenant: `<replica>@<ms until it is so>,...`, mostly nobody. One read
-- for each tenant and script.
local tenant_watchers = {}
local function watchers_of_tenant(flow)
  if tenant_watchers[flow] == nil then tenant_watchers[flow] = call('GET', T .. 'tw:' .. flow) end
  return tenant_watchers[flow]
end

-- Tell them that the job changed, and which was the newest line of its log before; of a line that came late (live.lua)
-- also how many had, `<line>.<late lines>`.
local function announce_to_tenant(jid, flow, line)
  local watchers = watchers_of_tenant(flow)
  if not watchers then return end
  local message = 't|' .. flow .. '|' .. jid .. '|' .. (line or call('HGET', T .. 'j:' .. jid, 'sn') or '0')
  for rid, ends in string.gmatch(watchers, '([^,@]+)@(%d+)') do
    if tonumber(ends) > now then call('SPUBLISH', T .. '!' .. rid, message) end
  end
end

-- Put `rid` into the job's list of watchers, once. The newest eight replicas are told; a crowd of dead ones must not
-- pile up here.
local function add_watcher(job, list, watchers, rid)
  watchers = watchers or ''
  if string.find(',' .. watchers .. ',', ',' .. rid .. ',', 1, true) then return end
  local kept, count = rid, 1
  for other in string.gmatch(watchers, '[^,]+') do
    if count < 8 then kept, count = kept .. ',' .. other, count + 1 end
  end
  call('HSET', job, list, kept)
end

-- @include _flow

-- Micros of a run of `ran` ms at `price` micros a second; nil where the worker has no price.
local function cost_of(ran, price)
  return price and math.min(math.floor(ran * tonumber(price) / 1000), 1e15) or 0
end

-- Add to the sums of a tenant's jobs of one meter that were created on one day: j jobs, r ms run, c micros.
-- Returns the meter they went to, and whether it is the day's first job of it.
local function add_to_day(flow, created, meter, jobs, ran, cost)
  local sums = T .. 'co:' .. math.floor(tonumber(created) / DAY_MS) .. ':' .. flow
  local counted = call('HINCRBY', sums, 'j|' .. meter, jobs)
  local is_first = counted == jobs
  if is_first then
    local plain = string.match(meter, '^([^|]*)|')
    if plain and call('HLEN', sums) > METER_FIELDS_MAX then
      call('HDEL', sums, 'j|' .. meter)
      return add_to_day(flow, created, plain, jobs, ran, cost)
    end
    call('PEXPIRE', sums, 400 * DAY_MS)
  end
  if ran > 0 then call('HINCRBY', sums, 'r|' .. meter, ran) end
  if cost > 0 then call('HINCRBY', sums, 'c|' .. meter, cost) end
  return meter, is_first
end

-- Count a job that is over, with all its runs so far. Returns when it was made, and its tags.
local function count_job(jid, finished)
  local j = call('HMGET', T .. 'j:' .. jid, 'fl', 'ct', 'mt', 'bp', 'rm', 'cm', 'sa', 'tg', 'rb')
  local meter, is_first = add_to_day(j[1], j[2], j[3] or j[4], 1, tonumber(j[5] or 0), tonumber(j[6] or 0))
  if not finished then return j[2], j[8] end
  local times = T .. 'du:' .. j[1] .. ':' .. string.sub(redis.sha1hex(meter), 1, 16)
  local begun = tonumber(j[9] or j[7]) or now   -- of one that was started again the time before says nothing
  local length = call('LPUSH', times, now .. '|' .. (now - begun))
  if length > 150 then call('LTRIM', times, 0, 99) end
  -- Once a day is enough for a time to live of 31 days, where 30 are asked for.
  if is_first or length == 1 or math.floor(tonumber(j[2]) / DAY_MS) ~= math.floor(now / DAY_MS) then
    call('PEXPIRE', times, 31 * DAY_MS)
  end
  return j[2], j[8]
end

-- Charge a run that is cut off: to the job, and to its day's sums where it has been counted already.
local function charge(jid, claimed, price)
  local job, ran = T .. 'j:' .. jid, now - tonumber(claimed)
  local cost = cost_of(ran, price)
  local j = call('HMGET', job, 'fin', 'fl', 'ct', 'mt', 'bp')
  if not j[1] then return end
  call('HINCRBY', job, 'rm', ran)
  if cost > 0 then call('HINCRBY', job, 'cm', cost) end
  if j[1] == '1' then add_to_day(j[2], j[3], j[4] or j[5], 0, ran, cost) end
end

-- A task's limits of time but its timeout: `ss` ms from ready to claimed, `ce` the moment by which it has ended, `hb` ms
-- between two signs of its own. While it is ready or gated, and only then, `x|<task>` in tm says when it waited too long.
local function limit_wait(tid, ready_at)
  local t = call('HMGET', T .. 't:' .. tid, 'ss', 'ce')
  local till = tonumber(t[2] or nil)
  if ready_at and t[1] then till = math.min(till or math.huge, ready_at + t[1]) end
  if till then call('ZADD', T .. 'tm', till, 'x|' .. tid) end
end

-- When a lease ends: with its worker's silence (`le`), with its handler's own, or with its time.
local function lease_end(le, hard, sign_at, heartbeat)
  local till = math.min(le, hard)
  return heartbeat and math.min(till, sign_at + heartbeat) or till
end

-- Forget a live task whatever its state. Its job is not told. Returns the worker and the attempt it takes it from, if any. Call
-- `wake_opened` at the script's end.
local function drop_task(jid, number)
  local tid = jid .. '.' .. number
  local t = call('HMGET', T .. 't:' .. tid, 'st', 'q', 'fl', 'ca', 'pr', 'fw', 'gs', 'w', 'at')
  if t[1] then
    if t[1] == 'R' then
      leave_flow(tid, t[2], t[3] .. (t[6] or ''))
    elseif t[1] == 'L' then
      end_lease(tid, t[7])
      if call('HEXISTS', T .. 'j:' .. jid, 'nl') == 1 then call('HINCRBY', T .. 'j:' .. jid, 'nl', -1) end
      charge(jid, t[4], t[5])
    else
      call('ZREM', T .. 'tm', 't|' .. tid)
    end
    if t[1] == 'P' then call('SREM', T .. 'pk:' .. jid, number) end
    if t[1] ~= 'L' then call('ZREM', T .. 'tm', 'x|' .. tid) end
    call('UNLINK', T .. 't:' .. tid)
  end
  call('SREM', T .. 'jt:' .. jid, number)
  if t[1] == 'L' and t[8] ~= '' then return t[8], t[9] end
end

-- Take a job from where those that ended without a result are listed.
local function unlist_failure(jid, flow)
  local f = call('HMGET', T .. 'j:' .. jid, 'fp', 'fd')
  if not f[1] then return end
  local place = f[2] .. ':' .. flow
  call('ZREM', T .. 'xb:' .. place, jid)
  if call('ZREM', T .. 'xe:' .. place .. ':' .. f[1], jid) == 1 then
    if call('HINCRBY', T .. 'er:' .. place, f[1], -1) <= 0 then call('HDEL', T .. 'er:' .. place, f[1]) end
  end
  call('HDEL', T .. 'j:' .. jid, 'fp', 'fd')
end

-- A claim's arguments: replica, history flag, register flag, classes, seats (worker, nonce, lease ms, patient, price). The
-- price is `<micros a second>`, with `|<class>=<micros>|...|` behind it where the worker asks something else for some, or
-- `@<seat>`: as said at that one.
local function read_claim()
  local claim = { rid = arg(), history = arg() == '1', register = arg() == '1', classes = {}, seats = {} }
  for i = 1, int() do claim.classes[i] = arg() end
  for i = 1, int() do
    local seat = { worker = arg(), nonce = arg(), lease = int(), patient = arg(), price = arg() }
    local as = string.match(seat.price, '^@(%d+)$')
    if as then seat.price = claim.seats[tonumber(as)].price end
    claim.seats[i] = seat
  end
  return claim
end

-- What the worker at a seat asks for a second of a task of class `cls`.
local function price_of(seat, cls)
  local _, at = string.find(seat.price, '|' .. cls .. '=', 1, true)
  return string.match(seat.price, '^%d+', at and at + 1 or 1)
end

-- Freeze the worker's price for this run, instead of that of an earlier one.
local function set_price(key, price, earlier)
  if price ~= '0' then
    call('HSET', key, 'pr', price)
  elseif earlier then
    call('HDEL', key, 'pr')
  end
end

-- A job begins: it is not in its client's queue any more.
local function leave_queue(ad)
  local client = string.match(ad, '^([^|]*)|')
  if client ~= '' then call('HINCRBY', T .. 'qu:' .. client, 'queued', -1) end
end

-- What the leases of one script write besides their tasks, each job and key once: many seats mean one fan mostly.
local leased_jobs, leases = {}, {}

local function leased_job(jid)
  local known = leased_jobs[jid]
  if not known then
    known = call('HMGET', T .. 'j:' .. jid, 'fin', 'cx', 'wv', 'sw', 'sa', 'ac', 'nl', 'tl', 'ad')
    known.id, known.count, known.entries = jid, 0, {}
    leased_jobs[jid] = known
    leased_jobs[#leased_jobs + 1] = known
  end
  return known
end

local function write_leases()
  if #leases == 0 then return end
  call('ZADD', T .. 'L', unpack(leases))
  for _, j in ipairs(leased_jobs) do
    if j.count > 0 then
      local job = T .. 'j:' .. j.id
      call('HSET', job, 'nl', tonumber(j[7]) + j.count, 'sa', j[5] == '' and now or j[5])
      if j[9] and j[5] == '' then leave_queue(j[9]) end
      note_all(j.id, j.entries)
      if watchers_of_tenant(j.flow) or (j[6] and j[6] ~= '') then
        call('HINCRBY', job, 'pv', j.count)
        announce(j.id, j[6])
        announce_to_tenant(j.id, j.flow)
      end
    end
  end
  leased_jobs, leases = {}, {}
end

-- Lease task `tid` of class `cls`, which holds the slots of its gates from now on, to `seat`; or clear it away when its job no
-- longer wants it, or park it while its job is paused. Returns the reply's entry or nil. Call `write_leases` afterwards.
local function lease_task(tid, cls, seat, history, before_class, before_flow)
  local key = T .. 't:' .. tid
  local t = call('HMGET', key, 'st', 'at', 'to', 'pl', 'wv', 'ra', 'pr', 'fl', 'ss', 'ce', 'hb')
  if t[1] ~= 'R' then return nil end
  local jid, number = string.sub(tid, 1, 36), string.sub(tid, 38)
  local j = leased_job(jid)
  -- Tasks being spawned may belong to the clean-up after a cancel: only the commit clears the flag.
  local unwanted = j[1] ~= '0' or (j[2] == '1' and t[5] ~= j[4]) or (t[5] ~= j[3] and t[5] ~= j[4])
  if j[8] == PAUSED and not unwanted then
    call('HSET', key, 'st', 'P')
    call('SADD', T .. 'pk:' .. jid, number)
    return nil
  end
  if t[9] or t[10] then call('ZREM', T .. 'tm', 'x|' .. tid) end
  if unwanted then
    call('UNLINK', key)
    call('SREM', T .. 'jt:' .. jid, number)
    return nil
  end
  local attempt = tonumber(t[2]) + 1
  local hard, left = now + tonumber(t[3]), ''
  if t[10] and tonumber(t[10]) < hard then hard, left = tonumber(t[10]), tostring(math.max(t[10] - now, 0)) end
  call('HSET', key, 'st', 'L', 'at', attempt, 'w', seat.worker, 'nz', seat.nonce, 'lg', seat.patient, 'hd', hard, 'ca', now)
  if t[11] then call('HSET', key, 'sg', now, 'le', now + seat.lease) end
  set_price(key, price_of(seat, cls), t[7])
  local held = hold_all(tid, before_class, before_flow)
  if held ~= '' then call('HSET', key, 'gs', held) end
  leases[#leases + 1], leases[#leases + 2] = lease_end(now + seat.lease, hard, now, tonumber(t[11] or nil)), tid
  j.count, j.flow = j.count + 1, t[8]
  if history then j.entries[#j.entries + 1] = stamped(started(number, attempt, seat.worker)) end
  return { tid, tostring(attempt), t[4], tostring(now - tonumber(t[6])), left }
end

-- The first tasks of a flow, `most` at most; while others wait only those of one band. Returns them and the band of the
-- next one, or nil.
local function first_tasks(f, most, alone)
  local found, tasks = call('ZRANGE', f, 0, most, 'WITHSCORES'), {}
  local band = (tonumber(found[2]) or 0) % BANDS
  local next_band = nil
  for i = 1, #found, 2 do
    local its_band = tonumber(found[i + 1]) % BANDS
    if #tasks == most or (not alone and its_band ~= band) then
      next_band = its_band
      break
    end
    tasks[#tasks + 1] = found[i]
  end
  if #tasks > 0 then call('ZREM', f, unpack(tasks)) end
  return tasks, next_band
end

-- Serve one class: the flow with the lowest ticket is next. A flow whose gate is shut is parked there, and costs nothing
-- until the gate opens; behind a gate of the whole class nobody moves.
local function take_class(cls, claim, seat, pops, out)
  local q, before_class, seats, visited = T .. 'q:' .. cls, class_gates(cls), #claim.seats, {}
  local free, shared = room_of(before_class), false
  if seat <= seats and call('EXISTS', T .. 'go:' .. cls) == 1 then
    pull(cls, math.min(seats - seat + 1, free), visited)
    pops = pops + 1
  end
  while seat <= seats and pops < POPS_MAX and free > 0 do
    local head = call('ZRANGE', q, 0, 1, 'WITHSCORES')
    if not head[1] then
      if call('EXISTS', T .. 'go:' .. cls) == 0 then break end
      pull(cls, math.min(seats - seat + 1, free), visited)
      pops = pops + 1
    else
      local flow, score = head[1], tonumber(head[2])
      local gates = flow_gates(flow, cls)
      local passing, gate, opens = room_of(gates)
      if passing <= 0 then
        park(cls, flow, score, gate, opens)
        pops = pops + 1
      else
        local turn = turn_of(cls, flow, score, tonumber(head[4]))
        local most = math.min(seats - seat + 1, passing, free, turn.in_a_row)
        local tasks, next_band = first_tasks(T .. 'f:' .. cls .. '|' .. flow, most, turn.alone)
        local taken = 0
        for _, tid in ipairs(tasks) do
          pops = pops + 1
          local leased = lease_task(tid, cls, claim.seats[seat], claim.history, before_class, gates)
          if leased then
            out[#out + 1] = { tostring(seat), leased[1], leased[2], leased[3], leased[4], leased[5] }
            seat, taken, free = seat + 1, taken + 1, free - 1
          end
        end
        pass_rates(before_class, taken)
        pass_rates(gates, taken)
        charge_flow(turn, taken, next_band)
        shared = shared or not turn.alone
      end
    end
  end
  if shared then call('ZREMRANGEBYSCORE', T .. 'vt:' .. cls, '-inf', virtual_time(cls)) end
  -- Who was told of a free slot and did not use it passes it on.
  for _, gate in ipairs(visited) do open(gate) end
  for _, gate in ipairs(before_class) do open(gate.name) end
  return seat, pops, free <= 0
end

-- Fill the claim's seats from its classes, in order. Reply: {seat number, task id, attempt, body, ms waited, ms left or
-- '' where that is its timeout} each.
local function take(claim, first_seat)
  local out, seat, pops, seats, is_shut = {}, first_seat or 1, 0, #claim.seats, {}
  for _, cls in ipairs(claim.classes) do
    seat, pops, is_shut[cls] = take_class(cls, claim, seat, pops, out)
  end
  write_leases()
  if claim.register then
    for _, cls in ipairs(claim.classes) do
      if seat <= seats then
        call('ZADD', T .. 'wt:' .. cls, 'NX', now, claim.rid)
        call('PEXPIRE', T .. 'wt:' .. cls, 3600000)
      end
      -- Work may be left: all seats are taken, too many abandoned tasks were in the way, or the class is shut.
      if (seat > seats or pops >= POPS_MAX or is_shut[cls]) and is_ready(cls) then wake(cls, 1) end
    end
  end
  wake_opened(claim.rid)
  return out
end

-- What a wait needs after so many ends that are no success, and its policy then. ff: a failure decides; t:<left>: all
-- must end; k:<left>: only successes count. More failures than are left decide either. u: the job undoes, and is not cancelled.
local function after_failures(policy, need, failures)
  if failures == 0 then return need, policy end
  if policy == 'ff' then return math.min(need - failures, 0), policy end
  local kind, left = string.match(policy or '', '^([kt]):(%d+)$')
  if not kind then return need - failures, policy end
  left = tonumber(left) - failures
  if kind == 't' then need = need - failures end
  if left < 0 then return math.min(need, 0), kind .. ':0' end
  return need, kind .. ':' .. left
end

local HEADER = { 'ten', 'bp', 'bv', 'st', 's', 'v', 'wv', 'nt', 'sub', 'ctx', 'ct', 'ut', 'sa', 'ft', 'res', 'err', 'det',
  'rc', 'cx', 'tf', 'sw', 'spn', 'pg', 'pm', 'cur', 'pv', 'pa', 'cm', 'pz', 'dl', 'dp', 'qs', 'rts', 'fp' }

local function header(jid)
  return call('HMGET', T .. 'j:' .. jid, unpack(HEADER))
end

-- Lease the turn to `token` and return what it needs: header and mailbox.
local function lease_turn(jid, token, ttl)
  call('HSET', T .. 'j:' .. jid, 'tl', token)
  call('ZADD', T .. 'D', now + ttl, jid)
  return { header(jid), call('LRANGE', T .. 'i:' .. jid, 0, -1) }
end

local function turn_reply(jid)
  return { header(jid), call('LRANGE', T .. 'i:' .. jid, 0, -1) }
end

-- No job of the batch lives any more. Where it takes no further lines, its webhook is written, once.
local function end_batch(batch)
  local key = T .. 'ba:' .. batch
  local b = call('HMGET', key, 's', 'wb', 'ret', 'n', 'end', 'ct')
  call('PEXPIRE', key, b[3])
  call('PEXPIRE', T .. 'bm:' .. batch, b[3])
  if b[1] ~= 'closed' or b[5] then return end
  call('HSET', key, 'end', now)
  if b[2] == '' then return end
  local counts, flat = {}, call('HGETALL', key)
  for i = 1, #flat, 2 do
    local status = string.match(flat[i], '^s:(.+)$')
    if status and flat[i + 1] ~= '0' then counts[#counts + 1] = '"' .. status .. '":' .. flat[i + 1] end
  end
  local message = batch .. '.' .. b[6]
  local body = b[2] .. '"total":' .. b[4] .. ',"counts":{' .. table.concat(counts, ',') .. '}}}'
  call('HSET', T .. 'ob:' .. message, 'b', body, 'n', 0)
  call('ZADD', T .. 'tm', now, 'o|' .. message)
end

-- A job of a batch (`ba` in its header: the batch and its line) has another status.
local function count_in_batch(jid, ba, old, new, is_over)
  local batch = string.match(ba, '^[^|]+')
  local key = T .. 'ba:' .. batch
  if old == new or call('EXISTS', key) == 0 then return end
  call('HINCRBY', key, 's:' .. old, -1)
  call('HINCRBY', key, 's:' .. new, 1)
  if not is_over then return end
  local cost = call('HGET', T .. 'j:' .. jid, 'cm')
  if cost then call('HINCRBY', key, 'cm', cost) end
  if call('HINCRBY', key, 'live', -1) == 0 then end_batch(batch) end
end

-- Admission. `ad` in a job's header: the client whose live jobs it is one of, and the unique key that it holds.
local function count_admitted(jid, client, key)
  if client == '' and key == '' then return end
  call('HSET', T .. 'j:' .. jid, 'ad', client .. '|' .. key)
  if client == '' then return end
  call('HINCRBY', T .. 'qu:' .. client, 'live', 1)
  call('HINCRBY', T .. 'qu:' .. client, 'queued', 1)
  call('PERSIST', T .. 'qu:' .. client)
end

-- The job is over: its client may have another, and its key is free. `was_queued`: it never began.
local function release_admission(jid, ad, was_queued)
  local client, key = string.match(ad, '^([^|]*)|(.*)$')
  if key ~= '' and call('GET', T .. 'u:' .. key) == jid then call('UNLINK', T .. 'u:' .. key) end
  if client == '' then return end
  local quota = T .. 'qu:' .. client
  if was_queued then call('HINCRBY', quota, 'queued', -1) end
  if call('HINCRBY', quota, 'live', -1) == 0 then
    call('PEXPIRE', quota, math.max(tonumber(call('HGET', quota, 'tat') or 0) - now, 0) + 1000)
  end
end
