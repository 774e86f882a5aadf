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
-- @include _children
local jid, token, ttl, entry, entry_below = arg(), arg(), int(), arg(), arg()
local JOBS_MAX = 24   -- as pause
local j = call('HMGET', T .. 'j:' .. jid, 'fin', 'tl', 'ru', 'ch', 'fl', 'ac')
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
tell_change(jid, j[5], j[6])
local todo, place = {}, 1
local function look_below(ch)
  for child, star in each_child(ch) do
    if star == '' then todo[#todo + 1] = child end
  end
end
look_below(j[4])
while todo[place] and place <= JOBS_MAX do
  local below = todo[place]
  local b = call('HMGET', T .. 'j:' .. below, 'pz', 'ch', 'fl', 'ac')
  if b[1] and string.match(b[1], '^%d+|[^|]*|([^|]*)|') == jid then
    let_go(below)
    note(below, entry_below)
    tell_change(below, b[3], b[4])
  end
  look_below(b[2])
  place = place + 1
end
if not due then return { 'ok' } end
local reply = lease_turn(jid, token, ttl)
return { 'turn', reply[1], reply[2] }
