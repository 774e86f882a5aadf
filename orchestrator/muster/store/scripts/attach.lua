#!lua
--[[
attach: write a client's own artifact of a job down; the job may have ended.

KEYS  1 the partition's tag
ARGV  job, artifact, record, artifacts max
OUT   {'ok', ms, lines of the log before it} | {'gone'} | {'full'}
TWICE the same record, written again
]]
-- @include _queue
local jid, artifact, record, most = arg(), arg(), arg(), int()
local job, key = T .. 'j:' .. jid, T .. 'fa:' .. jid
local j = call('HMGET', job, 'fin', 'ac', 'sn', 'fl')
if not j[1] then return { 'gone' } end
if call('HEXISTS', key, artifact) == 0 and call('HLEN', key) >= most then return { 'full' } end
-- As `keep` spells it.
local line = j[3] or '0'
call('HSET', key, artifact, now .. ',' .. line .. ',' .. call('HINCRBY', job, 'av', 1) .. '|' .. record)
if j[1] == '1' then call('PEXPIRE', key, math.max(call('PTTL', job), 1)) end
announce(jid, j[2])
announce_to_tenant(jid, j[4], line)
return { 'ok', tostring(now), line }
