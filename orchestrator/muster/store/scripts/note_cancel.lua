#!lua flags=allow-oom
--[[
note_cancel: leave tasks to be cancelled for the worker's next heartbeat.

KEYS  1 the global tag
ARGV  worker, ttl ms, task...
OUT   {'ok'}
TWICE the same tasks, a longer life
]]
local key = KEYS[1] .. 'wc:' .. ARGV[1]
redis.call('SADD', key, unpack(ARGV, 3))
redis.call('PEXPIRE', key, ARGV[2])
return { 'ok' }
