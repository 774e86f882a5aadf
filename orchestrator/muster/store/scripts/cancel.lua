#!lua flags=allow-oom
--[[
cancel: ask for a job's end. With nothing leased the turn that ends it is leased at once; else the workers get a grace.

KEYS  1 the partition's tag
ARGV  job, turn token, turn ttl ms, grace ms, history entry
OUT   {'turn', header, items} | {'asked', leased...} as (task, worker) pairs, at most 100 of them | {'final'} | {'gone'}
TWICE {'asked', ...} again, or {'turn'} again while the caller holds the turn; the grace is not prolonged
]]
-- @include _queue
local jid, token, ttl, grace, entry = arg(), arg(), int(), int(), arg()
local job = T .. 'j:' .. jid
local j = call('HMGET', job, 'fin', 'cx', 'tl', 'nl', 'ac', 'cur', 'fl')
if not j[1] then return { 'gone' } end
if j[1] == '1' then return { 'final' } end
if j[3] == token then
  local reply = turn_reply(jid)
  return { 'turn', reply[1], reply[2] }
end
if j[2] ~= '1' then
  call('HSET', job, 'cx', '1')
  call('HINCRBY', job, 'pv', 1)
  note(jid, entry)
  announce(jid, j[5])
  announce_to_tenant(jid, j[7])
  if tonumber(j[4]) > 0 then call('ZADD', T .. 'tm', now + grace, 'c|' .. jid) end
  if tonumber(j[4]) <= 0 and j[3] == '' then
    call('HSET', job, 'need', 0)
    local reply = lease_turn(jid, token, ttl)
    return { 'turn', reply[1], reply[2] }
  end
end
local out, numbers = { 'asked' }, call('SRANDMEMBER', T .. 'jt:' .. jid, 100)
if j[6] and j[6] ~= '' then numbers[#numbers + 1] = j[6] end
for _, number in ipairs(numbers) do
  local tid = jid .. '.' .. number
  local t = call('HMGET', T .. 't:' .. tid, 'st', 'w')
  if t[1] == 'L' then
    out[#out + 1] = tid
    out[#out + 1] = t[2]
  end
end
return out
