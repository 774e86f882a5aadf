#!lua flags=allow-oom
--[[
resume: let go of a paused job, and of those below it that are paused because of it. Where nothing more is needed its turn
is leased at once.

KEYS  1 the partition's tag
ARGV  job, turn token, turn ttl ms, history entry, history entry of the jobs below
OUT   {'turn', header, items} | {'ok'} | {'not_paused'} | {'final'} | {'gone'}
TWICE the same token: {'turn'} again while the caller holds the turn, else {'ok'}
]]
-- @include _queue
-- @include _pause
local jid, token, ttl, entry, entry_below = arg(), arg(), int(), arg(), arg()
local j = call('HMGET', T .. 'j:' .. jid, 'fin', 'tl', 'ru', 'fl', 'ac')
if not j[1] then return { 'gone' } end
if j[3] == token then
  if j[2] ~= token then return { 'ok' } end
  local reply = turn_reply(jid)
  return { 'turn', reply[1], reply[2] }
end
if j[1] == '1' then return { 'final' } end
if j[2] ~= PAUSED then return { 'not_paused' } end

local due = let_go(jid)
call('HSET', T .. 'j:' .. jid, 'ru', token)
note(jid, entry)
tell_change(jid, j[4], j[5])
let_go_all(jid, jid, entry_below)
if not due then return { 'ok' } end
local reply = lease_turn(jid, token, ttl)
return { 'turn', reply[1], reply[2] }
