#!lua
--[[
note_line: put one line into a job's log under a number that its teller chose, where that number is free.

KEYS  1 the partition's tag
ARGV  job, line's number, task's number, ms or '' (now), stream's number, text as JSON, bytes of log kept
OUT   {'new'} | {'known'} | {'final'} | {'gone'}
TWICE {'known'}: a number that is there keeps its line
]]
-- @include _queue
local jid, number, task, at, stream, text, bytes_max = arg(), arg(), arg(), arg(), arg(), arg(), int()
local job, log, n = T .. 'j:' .. jid, T .. 'lg:' .. jid, tonumber(number)
local NOTHING = '1|0|0|[]'   -- an empty chunk says that the numbers before the first line never were
local DROPS_MAX, LATE_MAX = 256, 256

local j = call('HMGET', job, 'fin', 'al', 'sn', 'lb', 'lt', 'ln', 'fl')
if not j[1] then return { 'gone' } end
if j[1] == '1' then return { 'final' } end
local last, bytes = tonumber(j[3] or 0), tonumber(j[4] or 0)
local before = call('ZRANGE', log, n, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 1)[1]
local first, count = string.match(before or '', '^(%d+)|(%d+)|')
if first and n < tonumber(first) + tonumber(count) then return { 'known' } end

local function keep(score, member)
  call('ZADD', log, score, member)
  bytes = bytes + #member
end
if n > 1 and last == 0 then keep(1, NOTHING) end
if n == 1 and call('ZREM', log, NOTHING) == 1 then bytes = bytes - #NOTHING end
keep(n, number .. '|1|' .. task .. '|[[' .. (at == '' and now or at) .. ',' .. stream .. ',' .. text .. ']]')
for _ = 1, DROPS_MAX do
  if bytes <= bytes_max or call('ZCARD', log) <= 1 then break end
  bytes = bytes - #call('ZPOPMIN', log)[1]
end
call('HSET', job, 'sn', math.max(last, n), 'lb', bytes)
-- Followers may be past it: the newest such numbers, and how many there ever were.
if n < last then
  local late, count = (j[5] or '') .. number .. ',', tonumber(j[6] or 0) + 1
  if count > LATE_MAX then late = string.match(late, ',(.*)$') end
  call('HSET', job, 'lt', late, 'ln', count)
end
announce(jid, j[2], nil, 'l')
announce_to_tenant(jid, j[7], n < last and last .. '.' .. (j[6] or '0') or last)
return { 'new' }
