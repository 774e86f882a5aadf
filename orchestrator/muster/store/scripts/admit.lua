#!lua
--[[
admit: put a file on its tenant's account, if it fits.

KEYS  1 the global tag
ARGV  tenant's hash, blob, bytes, bytes max, files max
OUT   {'ok' | 'full'}
TWICE {'ok'}, counted once
]]
local key, blob, size = KEYS[1] .. 'fq:' .. ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('HEXISTS', key, blob) == 1 then return { 'ok' } end
local total = tonumber(redis.call('HGET', key, '')) or 0
if total + size > tonumber(ARGV[4]) or redis.call('HLEN', key) > tonumber(ARGV[5]) then return { 'full' } end
redis.call('HSET', key, blob, ARGV[3])
redis.call('HINCRBY', key, '', ARGV[3])
return { 'ok' }
