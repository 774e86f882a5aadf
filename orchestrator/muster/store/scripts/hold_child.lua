#!lua flags=allow-oom
--[[
hold_child: hold a job that one in another partition waits for, since that or one above it is held; or let go of it again.

KEYS  1 the partition's tag
ARGV  job, count of the message, the job whose pause is passed down, who and why ('': let go), history entry
OUT   {'ok'} | {'gone'}: there is no such live job
TWICE {'ok'}: of messages that overtake each other the newest counts
]]
-- @include _queue
-- @include _pause
local jid, count, above, words, entry = arg(), int(), arg(), arg(), arg()
local j = call('HMGET', T .. 'j:' .. jid, 'fin', 'hn')
if j[1] ~= '0' then return { 'gone' } end
if tonumber(j[2] or 0) >= count then return { 'ok' } end
call('HSET', T .. 'j:' .. jid, 'hn', count)
if words ~= '' then
  hold_all(jid, above, words, entry, entry)
else
  let_go_all(jid, above, entry)
end
return { 'ok' }
