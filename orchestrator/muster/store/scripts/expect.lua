#!lua
--[[
expect: note that a job waits for a planned upload, in the upload's own hash.

KEYS  1 the global tag
ARGV  upload, job, jobs max
OUT   {'planned'} | {'no'}
TWICE the job is noted once
]]
local key = KEYS[1] .. 'up:' .. ARGV[1]
if redis.call('HGET', key, 'bl') ~= '' then return { 'no' } end
local jobs = 0
for _, field in ipairs(redis.call('HKEYS', key)) do
  if string.sub(field, 1, 2) == 'j|' then jobs = jobs + 1 end
end
if jobs < tonumber(ARGV[3]) then redis.call('HSET', key, 'j|' .. ARGV[2], '') end
return { 'planned' }
