#!lua flags=allow-oom
--[[
undefine: forget a class of work that is idle, after all partitions have.

KEYS  1 the global tag
ARGV  class
OUT   {'ok'} | {'used'}: meanwhile
TWICE {'ok'}
]]
local T, cls = KEYS[1], ARGV[1]
local clock = redis.call('TIME')
local ends = redis.call('ZSCORE', T .. 'ru', cls)
if ends and tonumber(ends) > clock[1] * 1000 + math.floor(clock[2] / 1000) then return { 'used' } end
redis.call('HDEL', T .. 'rq', cls)
redis.call('ZREM', T .. 'ru', cls)
return { 'ok' }
