#!lua
--[[
disconnect: forget a saved connection.

KEYS  1 the global tag
ARGV  tenant's hash, tenant, name
OUT   1 | 0 where there was none
TWICE 0
]]
local key, tenants = KEYS[1] .. 'cn:' .. ARGV[1], KEYS[1] .. 'ct'
if redis.call('HDEL', key, ARGV[3]) == 0 then return 0 end
if redis.call('EXISTS', key) == 0 then redis.call('HDEL', tenants, ARGV[2]) end
redis.call('HINCRBY', tenants, '', 1)
return 1
