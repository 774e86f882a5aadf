#!lua flags=allow-oom
--[[
watch: read a job, and ask to be told of its end ('aw') or of every change until then ('ac').

KEYS  1 the partition's tag
ARGV  job, replica or '' (only read), list (aw | ac)
OUT   {header, current task's {status, worker, attempt} or {}} | {}
TWICE the replica is listed once
]]
-- @include _queue
local jid, rid, list = arg(), arg(), arg()
local job = T .. 'j:' .. jid
local j = call('HMGET', job, 'fin', list, 'cur')
if not j[1] then return {} end
if rid ~= '' and j[1] == '0' then add_watcher(job, list, j[2], rid) end
local task = {}
if j[3] and j[3] ~= '' then task = call('HMGET', T .. 't:' .. jid .. '.' .. j[3], 'st', 'w', 'at') end
return { header(jid), task }
