#!lua
--[[
slot: note what became of a schedule's slot, or forget schedules, as the replica that runs them.

KEYS  1 the global tag
ARGV  replica, number of notes, then a schedule and its note for each, then schedules to forget
OUT   1 | 0 where another replica runs schedules by now
TWICE the same
]]
local key = KEYS[1] .. 'ss'
if redis.call('GET', KEYS[1] .. 'sl') ~= ARGV[1] then return 0 end
local last = 2 + 2 * tonumber(ARGV[2])
for i = 3, last, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
for i = last + 1, #ARGV do redis.call('HDEL', key, ARGV[i]) end
return 1
