#!lua
--[[
register: describe a worker and start its registration's life. Where its socket is, what was ordered of it and how it did
before stays known.

KEYS  1 the global tag
ARGV  worker, ttl ms, #fields, (field, value)...
OUT   {'ok'}
TWICE the same description, a longer life
]]
local T, id, ttl = KEYS[1], ARGV[1], tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local key = T .. 'w:' .. id
local kept = redis.call('HMGET', key, 'socket', 'order', 'order_slots', 'record')
redis.call('UNLINK', key)
for i = 4, 2 + 2 * tonumber(ARGV[3]), 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', key, 'registered_at', now, 'last_seen_at', now)
for i, field in ipairs({ 'socket', 'order', 'order_slots', 'record' }) do
  if kept[i] then redis.call('HSET', key, field, kept[i]) end
end
redis.call('PEXPIRE', key, ttl)
redis.call('ZADD', T .. 'ws', now + ttl, id)
redis.call('ZREMRANGEBYSCORE', T .. 'ws', '-inf', now - 86400000)   -- workers gone for a day
return { 'ok' }
