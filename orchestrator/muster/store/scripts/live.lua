#!lua flags=allow-oom
--[[
live: read at one moment what has happened to a job since a place of its story, and ask to be told when more does.

KEYS  1 the partition's tag
ARGV  job, first line wanted, chunks max, bytes max, change of steps known, number of the newest artifact known,
      replica or '' (only read)
OUT   {header, current task's {status, worker, attempt} or {}, newest line's number, chunks,
      newest change of steps, (field, step)..., newest artifact's number, artifacts} | {}
TWICE the same; the replica is listed once
]]
-- @include _queue
-- @include _chunks
local jid, start, chunks_max, bytes_max, steps_known, files_known, rid = arg(), int(), int(), int(), int(), int(), arg()
local job = T .. 'j:' .. jid
local j = call('HMGET', job, 'fin', 'ac', 'al', 'cur', 'sn', 'sv', 'av')
if not j[1] then return {} end
if rid ~= '' and j[1] == '0' then
  add_watcher(job, 'ac', j[2], rid)
  add_watcher(job, 'al', j[3], rid)
end
local task, last, steps, files = {}, tonumber(j[5] or 0), {}, {}
if j[4] and j[4] ~= '' then task = call('HMGET', T .. 't:' .. jid .. '.' .. j[4], 'st', 'w', 'at') end
if tonumber(j[6] or 0) > steps_known then
  local all = call('HGETALL', T .. 'sp:' .. jid)
  for i = 1, #all, 2 do
    if tonumber(string.match(all[i + 1], '^%d+')) > steps_known then
      steps[#steps + 1] = all[i]
      steps[#steps + 1] = all[i + 1]
    end
  end
end
if tonumber(j[7] or 0) > files_known then
  for _, file in ipairs(call('HVALS', T .. 'fa:' .. jid)) do
    if tonumber(string.match(file, '^%d+,%d+,(%d+)')) > files_known then files[#files + 1] = file end
  end
end
local chunks = read_chunks(T .. 'lg:' .. jid, start, last, chunks_max, bytes_max)
return { header(jid), task, tostring(last), chunks, j[6] or '0', steps, j[7] or '0', files }
