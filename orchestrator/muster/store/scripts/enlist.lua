#!lua
--[[
enlist: make the jobs of some lines of a batch, or close it. Their first turns wait in line, batch by batch.

KEYS  1 the partition's tag
ARGV  batch's key, tenant, id, webhook's beginning or '', retention ms, client's hash or '', live jobs max, queued jobs
      max (0: no limit), number of lines or -1 to close,
      then of each line its number, its print and a new job; the numbers grow
OUT   the fate of each line (made|there|conflict|closed|cancelled|limited); where it is closed, the batch's hash
TWICE lines: those made are there; closing: the same
]]
-- @include _queue
-- @include _commit
local batch, tenant, id, webhook, retention = arg(), arg(), arg(), arg(), arg()
local client, live_max, queued_max, count = arg(), int(), int(), int()
local key, members = T .. 'ba:' .. batch, T .. 'bm:' .. batch

if call('EXISTS', key) == 0 then
  call('HSET', key, 'ten', tenant, 'id', id, 'ct', now, 's', 'open', 'cx', '0', 'n', 0, 'live', 0, 'wb', webhook, 'ret', retention)
  call('PEXPIRE', key, retention)
end
if count < 0 then
  if call('HGET', key, 's') == 'open' then
    call('HSET', key, 's', 'closed')
    if call('HGET', key, 'live') == '0' then end_batch(batch) end
  end
  return call('HGETALL', key)
end

local lines, known, fates, made = {}, {}, {}, 0
for i = 1, count do lines[i] = { arg(), arg(), read_job() } end
if count > 0 then
  local flat = call('ZRANGE', members, lines[1][1], lines[count][1], 'BYSCORE', 'WITHSCORES')
  for i = 1, #flat, 2 do known[flat[i + 1]] = flat[i] end
end
local b = call('HMGET', key, 's', 'cx')
local refusal = (b[2] == '1' and 'cancelled') or (b[1] == 'closed' and 'closed')
local q = client ~= '' and call('HMGET', T .. 'qu:' .. client, 'live', 'queued') or {}
local live, queued = tonumber(q[1] or 0), tonumber(q[2] or 0)
if live_max == 0 then live_max = math.huge end
if queued_max == 0 then queued_max = math.huge end
for i, line in ipairs(lines) do
  local there = known[line[1]]
  if there then
    fates[i] = string.sub(there, 38) == line[2] and 'there' or 'conflict'
  elseif refusal then
    fates[i] = refusal
  elseif live >= live_max or queued >= queued_max then
    fates[i] = 'limited'
  else
    local new = line[3]
    make_job(new, '', nil, '')
    call('HSET', T .. 'j:' .. new.id, 'ba', batch .. '|' .. line[1])
    count_admitted(new.id, client, '')
    live, queued = live + 1, queued + 1
    call('ZADD', members, line[1], new.id .. '|' .. line[2])
    call('RPUSH', T .. 'bq:' .. batch, new.id)
    announce_to_tenant(new.id, new.flow, 0)
    fates[i], made = 'made', made + 1
  end
end
if made > 0 then
  call('HINCRBY', key, 'n', made)
  call('HINCRBY', key, 'live', made)
  call('HINCRBY', key, 's:' .. lines[1][3].status, made)
  call('PERSIST', key)
  call('PERSIST', members)
  call('ZADD', T .. 'bl', 'NX', now, batch)
end
return fates
