#!lua flags=allow-oom
--[[
cancel_batch: have all jobs of a batch cancelled, or note how far that is. The tick hands out who is to be asked next.

KEYS  1 the partition's tag
ARGV  batch's key, line after which jobs were asked or '' to begin, line up to which or '' where there are no more
OUT   jobs that are not over; -1: there is no such batch
TWICE the same
]]
-- @include _queue
local batch, after, line = arg(), arg(), arg()
local key = T .. 'ba:' .. batch
local live = call('HGET', key, 'live')
if after == '' then
  if not live then return '-1' end
  if call('HGET', key, 'cx') == '0' then
    call('HSET', key, 'cx', '1')
    call('ZADD', T .. 'tm', now, 'b|' .. batch .. '|0')
  end
elseif call('ZREM', T .. 'tm', 'b|' .. batch .. '|' .. after) == 1 and line ~= '' then
  call('ZADD', T .. 'tm', now, 'b|' .. batch .. '|' .. line)
end
return live or '-1'
