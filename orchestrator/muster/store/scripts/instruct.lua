#!lua
--[[
instruct: change what was ordered of a worker.

KEYS  1 the global tag
ARGV  worker, #fields, (field, value)...
OUT   description as flat field-value list | {} for an unknown worker
TWICE the same
]]
local key = KEYS[1] .. 'w:' .. ARGV[1]
if redis.call('EXISTS', key) == 0 then return {} end
for i = 3, 1 + 2 * tonumber(ARGV[2]), 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
return redis.call('HGETALL', key)
