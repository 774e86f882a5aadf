#!lua
--[[
lead: be the replica that runs schedules, for a while; or give that up.

KEYS  1 the global tag
ARGV  replica, lease ms (0: give it up)
OUT   {1 where it is this replica, else 0; now ms; number of changes of connections so far}
TWICE the same
]]
local key, replica, lease = KEYS[1] .. 'sl', ARGV[1], tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local holder = redis.call('GET', key)
local mine = (not holder or holder == replica) and lease > 0
if mine then
  redis.call('SET', key, replica, 'PX', lease)
elseif holder == replica then
  redis.call('DEL', key)
end
return { mine and 1 or 0, tostring(now), redis.call('HGET', KEYS[1] .. 'ct', '') or '0' }
