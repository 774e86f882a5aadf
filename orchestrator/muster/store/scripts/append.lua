#!lua
--[[
append: take a task's events: its log lines as one chunk, its steps, its metadata, its progress.

KEYS  1 the partition's tag
ARGV  job, number, worker, attempt, fence or '', first event, last event, bytes of log kept, #lines, the lines' chunk,
      progress or '', message, #steps, (index, over (0|1), lines of the chunk before it, step)...,
      #metadata, (key, value)...
OUT   {'ok', next event, cancelling (0|1)} | {'overlap', next event, 0} | {'gone', next task number or -1} | {'foreign'} | {'stale'}
TWICE {'ok', ...}: events that were taken are not written again; {'overlap', ...} where only some of them were
]]
-- @include _queue
local jid, number, worker, attempt, fence = arg(), arg(), arg(), arg(), arg()
local first, last, bytes_max, lines, chunk = int(), int(), int(), int(), arg()
local progress, message = arg(), arg()
local tid = jid .. '.' .. number
local key, job, log = T .. 't:' .. tid, T .. 'j:' .. jid, T .. 'lg:' .. jid
local DROPS_MAX, STEPS_MAX, METADATA_MAX = 256, 1000, 256

local t = call('HMGET', key, 'st', 'at', 'nz', 'w', 'pw', 'ea', 'en')
local j = call('HMGET', job, 'fin', 'cx', 'cur', 'ac', 'al', 'nt', 'spn', 'sn', 'lb', 'fl')
if not j[1] then return { 'gone', '-1' } end
if not t[1] then return { 'gone', tostring(math.max(tonumber(j[6]), tonumber(j[7]))) } end
if t[1] ~= 'L' or t[4] ~= worker then
  local held = string.find(',' .. (t[5] or '') .. ',', ',' .. worker .. ',', 1, true)
  return { held and 'stale' or 'foreign' }
end
if t[2] ~= attempt or (fence ~= '' and t[3] ~= fence) or j[1] == '1' then return { 'stale' } end
local wanted = t[6] == attempt and tonumber(t[7]) or 0
if last < wanted then return { 'ok', tostring(wanted), j[2] } end
if first < wanted then return { 'overlap', tostring(wanted), j[2] } end

local line, bytes = tonumber(j[8] or 0), tonumber(j[9] or 0)
local function keep(count, text)
  local member = (line + 1) .. '|' .. count .. '|' .. number .. '|' .. text
  call('ZADD', log, line + 1, member)
  line, bytes = line + count, bytes + #member
end
if first > wanted then keep(1, '[[' .. now .. ',2,"' .. (first - wanted) .. '"]]') end
local before = line
if lines > 0 then keep(lines, chunk) end
for _ = 1, DROPS_MAX do
  if bytes <= bytes_max or call('ZCARD', log) <= 1 then break end
  bytes = bytes - #call('ZPOPMIN', log)[1]
end
call('HSET', key, 'ea', attempt, 'en', last + 1)
if line ~= tonumber(j[8] or 0) then
  call('HSET', job, 'sn', line, 'lb', bytes)
  announce(jid, j[5], nil, 'l')
end

local changed = progress ~= '' and j[3] == number
if changed then call('HSET', job, 'pg', progress, 'pm', message) end
local function put(name, size_max, field, value)
  if call('HEXISTS', name, field) == 1 or call('HLEN', name) < size_max then
    call('HSET', name, field, value)
    changed = true
  end
end

-- A step says between which lines it stands: `<change>|<attempt>|<line before it>|<its last line or ''>|<step>`.
local steps, count = T .. 'sp:' .. jid, int()
local begins = t[6] and t[6] ~= attempt and call('EXISTS', steps) == 1
local change = (begins or count > 0) and call('HINCRBY', job, 'sv', 1)
-- An earlier attempt may have left steps open: they end where this one begins.
if begins then put(steps, STEPS_MAX, number, change .. '|' .. attempt .. '|' .. tonumber(j[8] or 0) .. '||') end
for _ = 1, count do
  local field, over, at, blob = number .. '.' .. arg(), arg() == '1', before + int(), arg()
  local known = call('HGET', steps, field) or ''
  local told, opened, closed = string.match(known, '^%d+|(%d+)|(%d+)|(%d*)|')
  if told ~= attempt then opened, closed = at, '' end
  if not over then closed = '' elseif closed == '' then closed = at end
  put(steps, STEPS_MAX, field, change .. '|' .. attempt .. '|' .. opened .. '|' .. closed .. '|' .. blob)
end
for _ = 1, int() do put(T .. 'md:' .. jid, METADATA_MAX, arg(), arg()) end
if changed then
  call('HINCRBY', job, 'pv', 1)
  announce(jid, j[4])
end
if changed or line ~= tonumber(j[8] or 0) then announce_to_tenant(jid, j[10], j[8] or 0) end
return { 'ok', tostring(last + 1), j[2] }
