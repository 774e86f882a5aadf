#!lua flags=no-writes
--[[
idle: classes of work that nobody used for their time.

KEYS  1 the global tag
ARGV  classes max
OUT   {class...} those longest ago first
TWICE reads only
]]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1] .. 'ru', '-inf', now, 'LIMIT', 0, ARGV[1])
