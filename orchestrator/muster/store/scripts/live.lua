#!lua flags=allow-oom
--[[
live: read at one moment what has happened to a job since a place of its story, and ask to be told when more does.

KEYS  1 the partition's tag
ARGV  job, first line wanted, chunks max, bytes max, change of steps known, number of the newest artifact known,
      replica or '' (only read), late lines known or '' (none wanted)
OUT   {header, current task's {status, worker, attempt} or {}, newest line's number, chunks,
      newest change of steps, (field, step)..., newest artifact's number, artifacts, late lines known now,
      late lines there are, late chunks} | {}
TWICE the same; the replica is listed once
]]
-- @include _queue
-- @include _chunks
local jid, start, chunks_max, bytes_max, steps_known, files_known = arg(), int(), int(), int(), int(), int()
local rid, late_known = arg(), arg()
local job = T .. 'j:' .. jid
local j = call('HMGET', job, 'fin', 'ac', 'al', 'cur', 'sn', 'sv', 'av', 'lt', 'ln')
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

-- Late lines came under smaller numbers than the newest one's: `lt` has the numbers of the newest of them, `ln` is how
-- many there were. A line that is gone is an empty chunk, so that the reader can count. While some are left over
-- nothing else is read: a line that is late for the reader now must not have been read as one that was in time.
local log, count, late, bytes = T .. 'lg:' .. jid, tonumber(j[9] or 0), {}, 0
local at = late_known == '' and count or math.min(tonumber(late_known), count)
if at < count then
  local numbers = {}
  for number in string.gmatch(j[8], '%d+') do numbers[#numbers + 1] = number end
  at = math.max(at, count - #numbers)
  while at < count and bytes < bytes_max do
    at = at + 1
    local number = numbers[#numbers - (count - at)]
    local chunk = call('ZRANGE', log, number, number, 'BYSCORE', 'LIMIT', 0, 1)[1] or number .. '|0|0|[]'
    late[#late + 1] = chunk
    bytes = bytes + #chunk
  end
end
local chunks = at == count and read_chunks(log, start, last, chunks_max, bytes_max) or {}
return {
  header(jid), task, tostring(last), chunks, j[6] or '0', steps, j[7] or '0', files, tostring(at), tostring(count), late,
}
