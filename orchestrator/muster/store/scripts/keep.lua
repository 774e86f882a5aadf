#!lua
--[[
keep: write an artifact down in place of the one of the same id, if the task is held by the attempt that made it.

KEYS  1 the partition's tag
ARGV  task, attempt, fence, artifact, record, artifacts max
OUT   {'ok', ms, lines of the log before it} | {'gone'} | {'final'} | {'stale'} | {'full'}
TWICE the same record, written again
]]
-- @include _queue
local tid, attempt, fence, artifact, record, most = arg(), arg(), arg(), arg(), arg(), int()
local jid = string.sub(tid, 1, 36)
local job = T .. 'j:' .. jid
local j = call('HMGET', job, 'fin', 'ac', 'sn', 'fl')
if not j[1] then return { 'gone' } end
if j[1] == '1' then return { 'final' } end
local t = call('HMGET', T .. 't:' .. tid, 'st', 'at', 'nz')
if t[1] ~= 'L' or t[2] ~= attempt or t[3] ~= fence then return { 'stale' } end
local key = T .. 'fa:' .. jid
if call('HEXISTS', key, artifact) == 0 and call('HLEN', key) >= most then return { 'full' } end
-- `<ms>,<lines of the log before it>,<number among the job's artifacts>|<record>`
local line = j[3] or '0'
call('HSET', key, artifact, now .. ',' .. line .. ',' .. call('HINCRBY', job, 'av', 1) .. '|' .. record)
announce(jid, j[2])
announce_to_tenant(jid, j[4], line)
return { 'ok', tostring(now), line }
