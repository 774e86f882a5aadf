#!lua
--[[
question: change the question that a job asks: an answer, a delegation or an escalation. Each is written only upon the
change before, so that answers are counted one after the other.

KEYS  1 the partition's tag
ARGV  job, wave of the question, changes before this one, tally, history entry, turn token, turn ttl ms,
      mailbox item ('' where it is not decided yet), the escalation that is due next: '' as before, '-' none, or ms,
      #messages, (id, body)...
OUT   {'turn', header, items} | {'ok'} | {'changed'} | {'conflict'} | {'gone'} | {'taken'}
TWICE the same token: {'ok'}, or where it decided {'turn'} while the caller holds the turn, else {'taken'}
]]
-- @include _queue
-- @include _question
-- @include _children
local jid, wave, seen, tally, entry, token, ttl, item, timer = arg(), arg(), arg(), arg(), arg(), arg(), int(), arg(), arg()
local job = T .. 'j:' .. jid
local j = call('HMGET', job, 'fin', 'wv', 'tl', 'sg', 'cx', 'need', 'qs', 'ask', 'ac', 'fl', 'st')
if not j[1] then return { 'gone' } end
if j[4] == token then
  if item == '' then return { 'ok' } end
  if j[3] ~= token then return { 'taken' } end
  local reply = turn_reply(jid)
  return { 'turn', reply[1], reply[2] }
end
local decided = (j[3] ~= '' and j[3] ~= PAUSED) or tonumber(j[6]) <= 0
local asks = j[8] or j[11] == 'waiting_for_human'   -- one that an older server asked has no mark yet
if j[1] == '1' or j[2] ~= wave or decided or j[5] == '1' or not asks then return { 'conflict' } end
local of_wave, changes, times = string.match(j[7] or '', '^(%d+)|(%d+)|([%d,]*)|')
if of_wave ~= wave then changes, times = '0', '' end
if changes ~= seen then return { 'changed' } end

if not j[8] then open_question(jid, j[10], wave, '-') end
times = times == '' and tostring(now) or times .. ',' .. now
call('HSET', job, 'qs', wave .. '|' .. (tonumber(changes) + 1) .. '|' .. times .. '|' .. tally, 'sg', token)
call('HINCRBY', job, 'pv', 1)
note(jid, entry)
if timer ~= '' then set_escalation(jid, wave, timer, j[8]) end
for i = 1, int() do send_soon(arg(), arg()) end
announce(jid, j[9])
announce_to_tenant(jid, j[10])
if item == '' then return { 'ok' } end
call('HSET', job, 'need', 0)
call('RPUSH', T .. 'i:' .. jid, item)
if j[3] == PAUSED then return { 'taken' } end   -- it counts when the job is resumed
local reply = lease_turn(jid, token, ttl)
return { 'turn', reply[1], reply[2] }
