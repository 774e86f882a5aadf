#!lua flags=allow-oom
--[[
beat: a worker's sign of life, with what changed about it.

KEYS  1 the global tag
ARGV  worker, ttl ms, #fields, (field, value)...
OUT   {description as flat field-value list, tasks to cancel} | {} for an unknown worker
TWICE the same, a longer life
]]
local T, id, ttl = KEYS[1], ARGV[1], tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local key = T .. 'w:' .. id
if redis.call('EXISTS', key) == 0 then return {} end
for i = 4, 2 + 2 * tonumber(ARGV[3]), 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', key, 'last_seen_at', now)
redis.call('PEXPIRE', key, ttl)
redis.call('ZADD', T .. 'ws', now + ttl, id)
return { redis.call('HGETALL', key), redis.call('SMEMBERS', T .. 'wc:' .. id) }
