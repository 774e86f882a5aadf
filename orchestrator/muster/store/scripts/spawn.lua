#!lua
--[[
spawn: make a chunk of a wide fan ready before the turn that decided it commits. Same turn, same wave, numbers in order.

KEYS  1 the partition's tag
ARGV  job, version, turn token, turn ttl ms, wave, #tasks,
      (number, class, type, body, policy, timeout ms, band, limits, fallback, flow)...
OUT   {'ok'} | {'stale'}
TWICE numbers up to the last one made are skipped
]]
-- @include _queue
-- @include _question
-- @include _commit
local jid, version, token, ttl, wave = arg(), arg(), arg(), int(), arg()
local job = T .. 'j:' .. jid
local j = call('HMGET', job, 'v', 'tl', 'sw', 'spn', 'fl')
if not j[1] or j[1] ~= version or j[2] ~= token then return { 'stale' } end

local made = tonumber(j[4])
if j[3] ~= wave then
  call('UNLINK', T .. 'e:' .. jid)
  call('HSET', job, 'ef', '')
end
local fresh = {}
for _, task in ipairs(read_tasks()) do
  if tonumber(ARGV[task + NUMBER]) >= made then
    fresh[#fresh + 1] = task
    made = tonumber(ARGV[task + NUMBER]) + 1
  end
end
list_tasks(jid, fresh)
make_ready(jid, j[5], wave, fresh)
call('HSET', job, 'sw', wave, 'spn', made)
call('ZADD', T .. 'D', now + ttl, jid)
wake_all()
return { 'ok' }
