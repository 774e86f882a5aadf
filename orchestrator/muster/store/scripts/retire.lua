#!lua flags=allow-oom
--[[
retire: forget an idle class of work in one partition.

KEYS  1 the partition's tag
ARGV  class
OUT   {'ok'} | {'ready'}: it has ready tasks, and stays
TWICE {'ok'}
]]
local T, cls = KEYS[1], ARGV[1]
if redis.call('EXISTS', T .. 'q:' .. cls) == 1 then return { 'ready' } end
redis.call('HDEL', T .. 'cls', cls)
redis.call('HDEL', T .. 'V', cls)
redis.call('UNLINK', T .. 'wt:' .. cls, T .. 'vt:' .. cls)
return { 'ok' }
