#!lua flags=allow-oom
--[[
logs: read a job's log from a line on, and ask to be told when more comes.

KEYS  1 the partition's tag
ARGV  job, first line wanted, chunks max, bytes max, replica or '' (only read)
OUT   {final (0|1), newest line's number, chunks} | {}
TWICE the same lines; the replica is listed once
]]
-- @include _queue
-- @include _chunks
local jid, start, chunks_max, bytes_max, rid = arg(), int(), int(), int(), arg()
local job, log = T .. 'j:' .. jid, T .. 'lg:' .. jid
local j = call('HMGET', job, 'fin', 'al', 'sn')
if not j[1] then return {} end
if rid ~= '' and j[1] == '0' then add_watcher(job, 'al', j[2], rid) end
return { j[1], j[3] or '0', read_chunks(log, start, tonumber(j[3] or 0), chunks_max, bytes_max) }
