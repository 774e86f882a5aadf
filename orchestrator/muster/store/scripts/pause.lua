#!lua flags=allow-oom
--[[
pause: hold a job, and the jobs below it that it waits for; spread ones by messages. A turn that somebody has is taken from them.

KEYS  1 the partition's tag
ARGV  job, who and why, history entry, history entry of the jobs below
OUT   {'ok'} | {'cancelling'} | {'final'} | {'gone'}
TWICE {'ok'}: what is paused already stays so, with the words of then
]]
-- @include _queue
-- @include _pause
local jid, words, entry, entry_below = arg(), arg(), arg(), arg()
local j = call('HMGET', T .. 'j:' .. jid, 'fin', 'cx')
if j[1] ~= '0' then return { j[1] and 'final' or 'gone' } end
if j[2] == '1' then return { 'cancelling' } end
hold_all(jid, jid, words, entry, entry_below)
return { 'ok' }
