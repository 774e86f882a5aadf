#!lua flags=allow-oom
--[[
cancel: ask for a job's end, and for that of its child and so on down: no job ends before its child. Where the last of
them has nothing leased, the turn that ends it is leased at once; else its workers get a grace. Of several children, or one
in another partition, the last asks by messages, and is over after them. What is paused goes on, to be cancelled; what
undoes what it did is left to it.

KEYS  1 the partition's tag
ARGV  job, turn token, turn ttl ms, grace ms, history entry, history entry of the jobs below,
      queued ('1': only where no worker has a task of it), overdue ('1': its deadline passed)
OUT   {'turn', job, header, items} | {'asked', leased...} as (task, worker) pairs, at most 100 of them
      | {'final'} | {'gone'} | {'held'}
TWICE {'asked', ...} again, or {'turn'} again while the caller holds the turn; the grace is not prolonged
]]
-- @include _queue
-- @include _pause
local jid, token, ttl, grace, entry, entry_below, queued = arg(), arg(), int(), int(), arg(), arg(), arg() == '1'
local overdue = arg() == '1'
if overdue then call('ZREM', T .. 'tm', 'e|' .. jid) end
local DEPTH_MAX = 16   -- more than there can be
local TOLD_MAX = 100
local chain, below = {}, jid
while below ~= '' and #chain < DEPTH_MAX do
  local j = call('HMGET', T .. 'j:' .. below, 'fin', 'cx', 'tl', 'nl', 'ac', 'cur', 'ch', 'fl', 'pol', 'wv')
  if j[1] ~= '0' then
    if #chain == 0 then return { j[1] and 'final' or 'gone' } end
    break
  end
  chain[#chain + 1] = { id = below, j = j }
  below = only_child(j[7])
end

local last = chain[#chain]
local job, j = T .. 'j:' .. last.id, last.j
if j[3] == token then
  local reply = turn_reply(last.id)
  return { 'turn', last.id, reply[1], reply[2] }
end
if queued and j[2] ~= '1' and tonumber(j[4]) > 0 then return { 'held' } end
local out = { 'asked' }

-- Add the leased tasks of a job, and whose they are; of one above the last those that it waits for now.
local function tell_workers(link, is_last)
  local numbers, count = call('SRANDMEMBER', T .. 'jt:' .. link.id, TOLD_MAX), 0
  if link.j[6] and link.j[6] ~= '' then numbers[#numbers + 1] = link.j[6] end
  for _, number in ipairs(numbers) do
    local tid = link.id .. '.' .. number
    local t = call('HMGET', T .. 't:' .. tid, 'st', 'w', 'wv')
    if t[1] == 'L' and t[2] ~= '' and (is_last or t[3] == link.j[10]) then
      count = count + 1
      if #out < 2 * TOLD_MAX then
        out[#out + 1] = tid
        out[#out + 1] = t[2]
      end
    end
  end
  return count
end

for place, link in ipairs(chain) do
  if link.j[3] == PAUSED then
    let_go(link.id)
    link.j[3] = ''
  end
  if link.j[2] ~= '1' and link.j[9] ~= 'u' then
    call('HSET', T .. 'j:' .. link.id, 'cx', '1')
    if overdue and place == 1 then call('HSET', T .. 'j:' .. jid, 'dp', '1') end
    call('HINCRBY', T .. 'j:' .. link.id, 'pv', 1)
    note(link.id, place == 1 and entry or entry_below)
    announce(link.id, link.j[5])
    announce_to_tenant(link.id, link.j[8])
  end
  local is_last = place == #chain
  local working = tonumber(link.j[4]) > 0 and link.j[9] ~= 'u' and tell_workers(link, is_last)
  if working and link.j[2] ~= '1' and (is_last or working > 0) then call('ZADD', T .. 'tm', now + grace, 'c|' .. link.id) end
end
if j[9] == 'u' or j[2] == '1' then return out end
for child in each_child(j[7]) do stop_child(last.id, j[10], child) end
if tonumber(j[4]) <= 0 and j[3] == '' and (j[7] or '') == '' then
  call('HSET', job, 'need', 0)
  local reply = lease_turn(last.id, token, ttl)
  return { 'turn', last.id, reply[1], reply[2] }
end
return out
