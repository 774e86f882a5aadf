#!lua flags=allow-oom
--[[
logs: read a job's log from a line on, and ask to be told when more comes.

KEYS  1 the partition's tag
ARGV  job, first line wanted, chunks max, bytes max, replica or '' (only read), late lines known or '' (none wanted)
OUT   {final (0|1), newest line's number, chunks, late lines known now, late lines there are, late chunks} | {}
TWICE the same lines; the replica is listed once
]]
-- @include _queue
-- @include _chunks
local jid, start, chunks_max, bytes_max, rid, known = arg(), arg(), int(), int(), arg(), arg()
local job, log = T .. 'j:' .. jid, T .. 'lg:' .. jid
local j = call('HMGET', job, 'fin', 'al', 'sn', 'lt', 'ln')
if not j[1] then return {} end
if rid ~= '' and j[1] == '0' then add_watcher(job, 'al', j[2], rid) end
local chunks = read_chunks(log, tonumber(start), tonumber(j[3] or 0), chunks_max, bytes_max)

-- Late lines came under smaller numbers than the newest one's. `lt` has the numbers of the last of them.
local late, bytes, count = {}, 0, tonumber(j[5] or 0)
local at = known == '' and count or tonumber(known)
if at < count then
  local numbers = {}
  for number in string.gmatch(j[4], '%d+') do numbers[#numbers + 1] = number end
  at = math.max(at, count - #numbers)
  while at < count and bytes < bytes_max do
    at = at + 1
    local number = numbers[#numbers - (count - at)]
    local chunk = call('ZRANGE', log, number, number, 'BYSCORE', 'LIMIT', 0, 1)[1]
    if chunk then
      late[#late + 1] = chunk
      bytes = bytes + #chunk
    end
  end
end
return { j[1], j[3] or '0', chunks, tostring(at), tostring(count), late }
