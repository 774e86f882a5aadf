#!lua
--[[
backfill: start a schedule's backfill or cancel it for a client, or note how far it is as the replica that runs schedules.

KEYS  1 the global tag
ARGV  schedule, replica or '' for a client, id, state (running|done|cancelled), backfill
OUT   {what is known then, as id|state|backfill} | {} where it was not noted and none is known, or by a replica may not be
TWICE the same
]]
local T, schedule, replica, id, state = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local known = redis.call('HGET', T .. 'sf', schedule)
local known_id, known_state
if known then known_id, known_state = string.match(known, '^([^|]*)|(%a+)|') end
local goes_on = known_state == 'running'
if replica ~= '' then
  if redis.call('GET', T .. 'sl') ~= replica or not goes_on or known_id ~= id then return {} end
elseif state == 'running' then
  if known and (goes_on or known_id == id) then return { known } end
elseif not goes_on or known_id ~= id then
  return known and { known } or {}
end
local entry = id .. '|' .. state .. '|' .. ARGV[5]
redis.call('HSET', T .. 'sf', schedule, entry)
if replica == '' then redis.call('HINCRBY', T .. 'ct', '', 1) end
return { entry }
