#!lua
--[[
connect: save a connection under its name, in place of the one that is there unless it must be new.

KEYS  1 the global tag
ARGV  tenant's hash, tenant, name, nonce, record, new ('1': there must be none), connections max
OUT   {'ok', created ms, changed ms} | {'exists'} | {'full'}
TWICE the same nonce: {'ok', …} with the times of the first
]]
local key, tenants = KEYS[1] .. 'cn:' .. ARGV[1], KEYS[1] .. 'ct'
local tenant, name, nonce = ARGV[2], ARGV[3], ARGV[4]
local clock = redis.call('TIME')
local now = tostring(clock[1] * 1000 + math.floor(clock[2] / 1000))
local created = now
local there = redis.call('HGET', key, name)
if there then
  local since, changed, by = string.match(there, '^(%d+)|(%d+)|(%w+)|')
  if by == nonce then return { 'ok', since, changed } end
  if ARGV[6] == '1' then return { 'exists' } end
  created = since
elseif redis.call('HLEN', key) >= tonumber(ARGV[7]) then
  return { 'full' }
end
redis.call('HSET', key, name, created .. '|' .. now .. '|' .. nonce .. '|' .. ARGV[5])
redis.call('HSET', tenants, tenant, '1')
redis.call('HINCRBY', tenants, '', 1)
return { 'ok', created, now }
