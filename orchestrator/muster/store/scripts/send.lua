#!lua
--[[
send: give a job a signal. Where it waits for that name the turn is leased to the caller; else the signal is kept.

KEYS  1 the partition's tag
ARGV  job, hash of the name, mailbox item, history entry, signals kept max, turn token, turn ttl ms
OUT   {'turn', header, items} | {'kept'} | {'full'} | {'final'} | {'gone'}
TWICE the same token (the newest 16 are known): {'turn'} again while the caller holds the turn, else {'kept'}
]]
-- @include _queue
local jid, name, item, entry, most, token, ttl = arg(), arg(), arg(), arg(), int(), arg(), int()
local job, kept = T .. 'j:' .. jid, T .. 'sb:' .. jid
local RECENT_BYTES = 16 * 17
local j = call('HMGET', job, 'fin', 'tl', 'ws', 'need', 'cx', 'sr', 'sc')
if not j[1] then return { 'gone' } end
local recent = j[6] or ''
if string.find(recent, token .. ',', 1, true) then
  if j[2] ~= token then return { 'kept' } end
  local reply = turn_reply(jid)
  return { 'turn', reply[1], reply[2] }
end
if j[1] == '1' then return { 'final' } end
local free = j[2] == '' or j[2] == PAUSED
local awaited = string.find(',' .. (j[3] or '') .. ',', ',' .. name .. ',', 1, true) and tonumber(j[4]) > 0 and free and j[5] ~= '1'
if not awaited and call('HLEN', kept) >= most then return { 'full' } end

call('HSET', job, 'sr', string.sub(token .. ',' .. recent, 1, RECENT_BYTES))
note(jid, entry)
if not awaited then
  local place = tonumber(j[7] or 0) + 1
  call('HSET', job, 'sc', place)
  call('HSET', kept, name .. '|' .. place, item)
  return { 'kept' }
end
call('HSET', job, 'need', 0)
call('RPUSH', T .. 'i:' .. jid, item)
if j[2] == PAUSED then return { 'kept' } end   -- it counts when the job is resumed
local reply = lease_turn(jid, token, ttl)
return { 'turn', reply[1], reply[2] }
