#!lua
--[[
blueprint: save what is known of a blueprint's name, if nobody has changed it since it was read; and the versions that
come and go with that. A deletion is a save without a head.

KEYS  1 the global tag
ARGV  name, revision it was read at (0: there was none), nonce, head or '' (forget the name), names max,
      number of versions to add, (version, spec) of each, versions to remove...
OUT   {'ok', revision} | {'stale'} | {'full'}
TWICE the same nonce: {'ok', revision}, nothing written; after a deletion {'stale'}
]]
local heads, specs = KEYS[1] .. 'bh', KEYS[1] .. 'bv'
local name, known, nonce, head, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local there = redis.call('HGET', heads, name)
local revision, by = '0', ''
if there then revision, by = string.match(there, '^(%d+)|(%w+)|') end
if there and by == nonce then return { 'ok', revision } end
if revision ~= known then return { 'stale' } end
if not there and redis.call('HLEN', heads) > most then return { 'full' } end   -- one field counts changes

local changes = redis.call('HINCRBY', heads, '', 1)
if head == '' then
  redis.call('HDEL', heads, name)
else
  redis.call('HSET', heads, name, changes .. '|' .. nonce .. '|' .. head)
end
local place = 7
for _ = 1, tonumber(ARGV[6]) do
  redis.call('HSET', specs, name .. '|' .. ARGV[place], ARGV[place + 1])
  place = place + 2
end
for i = place, #ARGV do redis.call('HDEL', specs, name .. '|' .. ARGV[i]) end
return { 'ok', tostring(changes) }
