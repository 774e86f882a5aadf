#!lua
--[[
slot: note where schedules stand and what became of slots, or forget schedules, as the replica that runs them.

KEYS  1 the global tag
ARGV  replica, number of notes, number of slots told, slots kept of each schedule, a schedule and its note for each note,
      hash of the schedule, slot's ms and note for each slot told, then schedules to forget with their hashes
OUT   1 | 0 where another replica runs schedules by now
TWICE the same
]]
local T = KEYS[1]
if redis.call('GET', T .. 'sl') ~= ARGV[1] then return 0 end
local keep, place = tonumber(ARGV[4]), 5
for _ = 1, tonumber(ARGV[2]) do
  redis.call('HSET', T .. 'ss', ARGV[place], ARGV[place + 1])
  place = place + 2
end
for _ = 1, tonumber(ARGV[3]) do
  local recent, at = T .. 'sn:' .. ARGV[place], ARGV[place + 1]
  redis.call('ZREMRANGEBYSCORE', recent, at, at)
  redis.call('ZADD', recent, at, ARGV[place + 2])
  redis.call('ZREMRANGEBYRANK', recent, 0, -keep - 1)
  place = place + 3
end
for i = place, #ARGV, 2 do
  for _, kind in ipairs({ 'ss', 'sz', 'sf' }) do redis.call('HDEL', T .. kind, ARGV[i]) end
  redis.call('DEL', T .. 'sn:' .. ARGV[i + 1])
end
return 1
