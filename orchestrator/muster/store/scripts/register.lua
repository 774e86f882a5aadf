#!lua
--[[
register: describe a worker and start its registration's life.

KEYS  1 the global tag
ARGV  worker, ttl ms, #fields, (field, value)...
OUT   {'ok'}
TWICE the same description, a longer life
]]
local T, id, ttl = KEYS[1], ARGV[1], tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local key = T .. 'w:' .. id
local socket = redis.call('HGET', key, 'socket')
redis.call('UNLINK', key)
for i = 4, 2 + 2 * tonumber(ARGV[3]), 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', key, 'registered_at', now, 'last_seen_at', now)
if socket then redis.call('HSET', key, 'socket', socket) end
redis.call('PEXPIRE', key, ttl)
redis.call('ZADD', T .. 'ws', now + ttl, id)
redis.call('ZREMRANGEBYSCORE', T .. 'ws', '-inf', now - 86400000)   -- workers gone for a day
return { 'ok' }
