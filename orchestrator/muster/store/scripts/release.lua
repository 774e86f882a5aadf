#!lua flags=allow-oom
--[[
release: put a leased task that never reached its worker back at its old place. No failure is counted. Where its job is
gone it is forgotten.

KEYS  1 the partition's tag
ARGV  task, attempt, fence
OUT   {'ok'} | {'stale'}
TWICE {'stale'}: it is ready already, or gone
]]
-- @include _queue
local tid, attempt, fence = arg(), arg(), arg()
local key = T .. 't:' .. tid
local t = call('HMGET', key, 'st', 'at', 'nz', 'q', 'fl', 'bd', 'rs', 'fw', 'gs', 'ra')
if t[1] ~= 'L' or t[2] ~= attempt or t[3] ~= fence then return { 'stale' } end
local jid = string.sub(tid, 1, 36)
if call('EXISTS', T .. 'j:' .. jid) == 0 then
  drop_task(jid, string.sub(tid, 38))
  wake_opened()
  return { 'ok' }
end
end_lease(tid, t[9])
if t[9] then call('HDEL', key, 'gs') end
call('HINCRBY', T .. 'j:' .. jid, 'nl', -1)
call('HSET', key, 'st', 'R', 'w', '')
limit_wait(tid, tonumber(t[10]))
if enqueue(tid, t[4], t[5] .. (t[8] or ''), tonumber(t[6]), tonumber(t[7])) then wake(t[4], 1) end
wake_opened()
return { 'ok' }
