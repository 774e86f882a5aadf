#!lua flags=allow-oom
--[[
retire: forget an idle class of work in one partition.

KEYS  1 the partition's tag
ARGV  class
OUT   {'ok'} | {'ready'}: it has ready tasks, or some class has tasks at a gate that is shut; it stays
TWICE {'ok'}
]]
local T, cls = KEYS[1], ARGV[1]
if redis.call('EXISTS', T .. 'q:' .. cls, T .. 'gp') > 0 then return { 'ready' } end
redis.call('HDEL', T .. 'cls', cls)
redis.call('HDEL', T .. 'V', cls)
redis.call('UNLINK', T .. 'wt:' .. cls, T .. 'vt:' .. cls)
return { 'ok' }
