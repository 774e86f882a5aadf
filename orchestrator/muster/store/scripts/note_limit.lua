#!lua
--[[
note_limit: keep a limit as it was set, or forget it.

KEYS  1 the global tag
ARGV  its name, its text or '' (forget it), limits max
OUT   {'ok'} | {'full'}
TWICE the same
]]
local key, name, text = KEYS[1] .. 'gd', ARGV[1], ARGV[2]
if text == '' then
  redis.call('HDEL', key, name)
elseif redis.call('HEXISTS', key, name) == 0 and redis.call('HLEN', key) >= tonumber(ARGV[3]) then
  return { 'full' }
else
  redis.call('HSET', key, name, text)
end
return { 'ok' }
