#!lua flags=allow-oom
--[[
settle: a message was delivered or given up, or is tried again later.

KEYS  1 the partition's tag
ARGV  message id, tries so far, delay ms or '' (done)
OUT   {'ok'} | {'stale'}
TWICE {'stale'}: another try was counted already
]]
-- @include _queue
local id, tries, delay = arg(), arg(), arg()
local key = T .. 'ob:' .. id
if call('HGET', key, 'n') ~= tries then return { 'stale' } end
if delay == '' then
  call('UNLINK', key)
  call('ZREM', T .. 'tm', 'o|' .. id)
else
  call('HSET', key, 'n', tonumber(tries) + 1)
  call('ZADD', T .. 'tm', now + tonumber(delay), 'o|' .. id)
end
return { 'ok' }
