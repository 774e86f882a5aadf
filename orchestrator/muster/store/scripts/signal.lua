#!lua
--[[
signal: deliver one answer to the wait it was given for. The first one wins.

KEYS  1 the partition's tag
ARGV  job, wave of the wait, mailbox item, history entry, turn token, turn ttl ms
OUT   {'turn', header, items} | {'taken'} (the job is paused: it counts when it is resumed) | {'conflict'} | {'gone'}
TWICE the same token: {'turn'} again while the caller holds the turn, else {'taken'}
]]
-- @include _queue
local jid, wave, item, entry, token, ttl = arg(), arg(), arg(), arg(), arg(), int()
local job = T .. 'j:' .. jid
local j = call('HMGET', job, 'fin', 'wv', 'tl', 'sg', 'cx', 'need', 'ch')
if not j[1] then return { 'gone' } end
if j[4] == token then
  if j[3] == token then
    local reply = turn_reply(jid)
    return { 'turn', reply[1], reply[2] }
  end
  return { 'taken' }
end
-- Nothing needed any more: an answer or the deadline came first, and its turn is due or was deferred.
local held = j[3] ~= '' and j[3] ~= PAUSED
local answered = held or tonumber(j[6]) <= 0 or (j[7] or '') ~= ''   -- only its end answers for a child
if j[1] == '1' or j[2] ~= wave or answered or j[5] == '1' then return { 'conflict' } end
call('HSET', job, 'sg', token, 'need', 0)
call('RPUSH', T .. 'i:' .. jid, item)
note(jid, entry)
if j[3] == PAUSED then return { 'taken' } end
local reply = lease_turn(jid, token, ttl)
return { 'turn', reply[1], reply[2] }
