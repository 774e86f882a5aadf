#!lua flags=no-writes
--[[
held: one stretch of the leased tasks, by the end of their leases.

KEYS  1 the partition's tag
ARGV  lowest end ms or '-inf', offset, tasks max
OUT   {task, type, worker, end, class}...
TWICE reads only
]]
-- @include _queue
local low, offset, most = arg(), int(), int()
local out, kinds = {}, {}
local leased = call('ZRANGEBYSCORE', T .. 'L', low, '+inf', 'WITHSCORES', 'LIMIT', offset, most)
for i = 1, #leased, 2 do
  local t = call('HMGET', T .. 't:' .. leased[i], 'q', 'w')
  local cls = t[1] or ''
  if not kinds[cls] then kinds[cls] = call('HGET', T .. 'cls', cls) or '' end
  out[#out + 1] = { leased[i], kinds[cls], t[2] or '', leased[i + 1], cls }
end
return out
