#!lua
--[[
upload: write an upload down, planned or sent; a planned one is sent once.

KEYS  1 the global tag
ARGV  upload, only if planned (0|1), blob or '' (planned), ttl ms, #fields, (field, value)...
OUT   {'ok', created ms, expires ms} | {'sent'}
TWICE the same blob: {'ok'} and a longer life; another one: {'sent'}
]]
local key, blob = KEYS[1] .. 'up:' .. ARGV[1], ARGV[3]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local known = redis.call('HGET', key, 'bl')
if ARGV[2] == '1' and known ~= '' and known ~= blob then return { 'sent' } end
for i = 6, 4 + 2 * tonumber(ARGV[5]), 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', key, 'bl', blob, 'ct', now, 'xt', now + ARGV[4])
redis.call('PEXPIRE', key, ARGV[4])
return { 'ok', tostring(now), tostring(now + ARGV[4]) }
