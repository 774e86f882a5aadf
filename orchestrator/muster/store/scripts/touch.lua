#!lua flags=allow-oom
--[[
touch: signs of life of many workers at once (their polls).

KEYS  1 the global tag
ARGV  ttl ms, worker... (at most 500)
OUT   {worker...} those that are not registered
TWICE the same, longer lives
]]
local T, ttl = KEYS[1], tonumber(ARGV[1])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local unknown = {}
for i = 2, #ARGV do
  local key = T .. 'w:' .. ARGV[i]
  if redis.call('PEXPIRE', key, ttl) == 0 then
    unknown[#unknown + 1] = ARGV[i]
  else
    redis.call('HSET', key, 'last_seen_at', now)
    redis.call('ZADD', T .. 'ws', now + ttl, ARGV[i])
  end
end
return unknown
