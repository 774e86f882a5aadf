#!lua
--[[
keep: write an artifact down in place of the one of the same id, if the task is held by the attempt that made it.

KEYS  1 the partition's tag
ARGV  task, attempt, fence, artifact, record, artifacts max
OUT   {'ok', ms} | {'gone'} | {'final'} | {'stale'} | {'full'}
TWICE the same record, written again
]]
-- @include _queue
local tid, attempt, fence, artifact, record, most = arg(), arg(), arg(), arg(), arg(), int()
local jid = string.sub(tid, 1, 36)
local fin = call('HGET', T .. 'j:' .. jid, 'fin')
if not fin then return { 'gone' } end
if fin == '1' then return { 'final' } end
local t = call('HMGET', T .. 't:' .. tid, 'st', 'at', 'nz')
if t[1] ~= 'L' or t[2] ~= attempt or t[3] ~= fence then return { 'stale' } end
local key = T .. 'fa:' .. jid
if call('HEXISTS', key, artifact) == 0 and call('HLEN', key) >= most then return { 'full' } end
call('HSET', key, artifact, now .. '|' .. record)
return { 'ok', tostring(now) }
