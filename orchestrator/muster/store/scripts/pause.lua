#!lua flags=allow-oom
--[[
pause: hold a job, and the jobs below it that it waits for, in this partition. A turn that somebody has is taken from them.

KEYS  1 the partition's tag
ARGV  job, who and why, history entry, history entry of the jobs below
OUT   {'ok'} | {'cancelling'} | {'final'} | {'gone'}
TWICE {'ok'}: what is paused already stays so, with the words of then
]]
-- @include _queue
-- @include _pause
-- @include _children
local jid, words, entry, entry_below = arg(), arg(), arg(), arg()
local JOBS_MAX = 24   -- as PAUSED_TOGETHER_MAX: of children of a race, and theirs, those beyond go on
local todo, place = { jid }, 1
while todo[place] and place <= JOBS_MAX do
  local one, top = todo[place], place == 1
  local j = call('HMGET', T .. 'j:' .. one, 'fin', 'cx', 'tl', 'st', 'ch', 'fl', 'ac')
  if top and j[1] ~= '0' then return { j[1] and 'final' or 'gone' } end
  if top and j[2] == '1' then return { 'cancelling' } end
  if j[1] == '0' and j[2] ~= '1' then
    if j[3] ~= PAUSED then
      hold(one, j[4], words, top and '' or jid)
      note(one, top and entry or entry_below)
      tell_change(one, j[6], j[7])
    end
    for child, star in each_child(j[5]) do
      if star == '' then todo[#todo + 1] = child end
    end
  end
  place = place + 1
end
return { 'ok' }
