#!lua flags=no-writes
--[[
fleet: one page of the workers whose registration holds.

KEYS  1 the global tag
ARGV  offset, limit
OUT   {description as flat field-value list...}
TWICE reads only
]]
local T = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local out = {}
for i, id in ipairs(redis.call('ZRANGEBYSCORE', T .. 'ws', now, '+inf', 'LIMIT', ARGV[1], ARGV[2])) do
  out[i] = redis.call('HGETALL', T .. 'w:' .. id)
end
return out
