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
if rid ~= '' and j[1] == '0' then
  local watchers = j[2] or ''
  if not string.find(',' .. watchers .. ',', ',' .. rid .. ',', 1, true) then
    -- The newest eight replicas are told; a crowd of dead ones must not pile up here.
    local kept, count = rid, 1
    for other in string.gmatch(watchers, '[^,]+') do
      if count < 8 then kept, count = kept .. ',' .. other, count + 1 end
    end
    call('HSET', job, list, kept)
  end
end
local task = {}
if j[3] and j[3] ~= '' then task = call('HMGET', T .. 't:' .. jid .. '.' .. j[3], 'st', 'w', 'at') end
return { header(jid), task }
