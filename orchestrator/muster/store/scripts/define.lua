#!lua
--[[
define: make a class of work known to all replicas, or say that it is used.

KEYS  1 the global tag
ARGV  class, requirement, idle ms, classes max
OUT   {'new' | 'known' | 'full'}
TWICE {'known'}
]]
local T, cls = KEYS[1], ARGV[1]
local clock = redis.call('TIME')
local ends = clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(ARGV[3])
if redis.call('HEXISTS', T .. 'rq', cls) == 1 then
  redis.call('ZADD', T .. 'ru', 'GT', ends, cls)
  return { 'known' }
end
if redis.call('HLEN', T .. 'rq') >= tonumber(ARGV[4]) then return { 'full' } end
redis.call('HSET', T .. 'rq', cls, ARGV[2])
redis.call('ZADD', T .. 'ru', ends, cls)
redis.call('SPUBLISH', T .. '!all', 'r|' .. cls)
return { 'new' }
