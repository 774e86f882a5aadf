#!lua
--[[
pause_schedule: note whether a schedule is paused, and count that as a change of its connection.

KEYS  1 the global tag
ARGV  schedule, note
OUT   1
TWICE the same, counted once more: whoever runs schedules reads them again
]]
redis.call('HSET', KEYS[1] .. 'sz', ARGV[1], ARGV[2])
redis.call('HINCRBY', KEYS[1] .. 'ct', '', 1)
return 1
