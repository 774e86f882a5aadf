#!lua flags=allow-oom
--[[
forget: take a file off its tenant's account.

KEYS  1 the global tag
ARGV  tenant's hash, blob
OUT   {'ok'}
TWICE nothing more
]]
local key = KEYS[1] .. 'fq:' .. ARGV[1]
local size = redis.call('HGET', key, ARGV[2])
if size then
  redis.call('HDEL', key, ARGV[2])
  redis.call('HINCRBY', key, '', '-' .. size)
  if redis.call('HLEN', key) == 1 then redis.call('UNLINK', key) end
end
return { 'ok' }
