#!lua flags=allow-oom
--[[
pause: hold a job, and the jobs below it that it waits for. A turn that somebody has is taken from them.

KEYS  1 the partition's tag
ARGV  job, who and why, history entry, history entry of the jobs below
OUT   {'ok'} | {'cancelling'} | {'final'} | {'gone'}
TWICE {'ok'}: what is paused already stays so, with the words of then
]]
-- @include _queue
-- @include _pause
local jid, words, entry, entry_below = arg(), arg(), arg(), arg()
local DEPTH_MAX = 16   -- more than there can be
local below, depth = jid, 0
while below ~= '' and depth < DEPTH_MAX do
  local j = call('HMGET', T .. 'j:' .. below, 'fin', 'cx', 'tl', 'st', 'ch', 'fl', 'ac')
  if j[1] ~= '0' then
    if depth == 0 then return { j[1] and 'final' or 'gone' } end
    break
  end
  if j[2] == '1' then
    if depth == 0 then return { 'cancelling' } end
    break
  end
  if j[3] ~= PAUSED then
    hold(below, j[4], words, depth == 0 and '' or jid)
    note(below, depth == 0 and entry or entry_below)
    tell_change(below, j[6], j[7])
  end
  below, depth = j[5] or '', depth + 1
end
return { 'ok' }
