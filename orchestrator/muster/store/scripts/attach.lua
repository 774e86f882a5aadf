#!lua
--[[
attach: write a client's own artifact of a job down; the job may have ended.

KEYS  1 the partition's tag
ARGV  job, artifact, record, artifacts max
OUT   {'ok', ms} | {'gone'} | {'full'}
TWICE the same record, written again
]]
-- @include _queue
local jid, artifact, record, most = arg(), arg(), arg(), int()
local fin = call('HGET', T .. 'j:' .. jid, 'fin')
if not fin then return { 'gone' } end
local key = T .. 'fa:' .. jid
if call('HEXISTS', key, artifact) == 0 and call('HLEN', key) >= most then return { 'full' } end
call('HSET', key, artifact, now .. '|' .. record)
if fin == '1' then call('PEXPIRE', key, math.max(call('PTTL', T .. 'j:' .. jid), 1)) end
return { 'ok', tostring(now) }
