#!lua
--[[
spawn: make a chunk of a wide fan ready before the turn that decided it commits. Same turn, same wave, numbers in order.

KEYS  1 the partition's tag
ARGV  job, version, turn token, turn ttl ms, wave, #tasks, (number, class, type, body, policy, timeout ms, band)...
OUT   {'ok'} | {'stale'}
TWICE numbers up to the last one made are skipped
]]
-- @include _queue
local jid, version, token, ttl, wave = arg(), arg(), arg(), int(), arg()
local job = T .. 'j:' .. jid
local j = call('HMGET', job, 'v', 'tl', 'sw', 'spn', 'fl')
if not j[1] or j[1] ~= version or j[2] ~= token then return { 'stale' } end

local made = tonumber(j[4])
if j[3] ~= wave then
  call('UNLINK', T .. 'e:' .. jid)
  call('HSET', job, 'ef', '')
end
local ready, order = {}, {}
for i = 1, int() do
  local number, cls, kind, body, rules, timeout, band = int(), arg(), arg(), arg(), arg(), arg(), int()
  if number >= made then
    local tid = jid .. '.' .. number
    call('HSET', T .. 't:' .. tid, 'st', 'R', 'q', cls, 'fl', j[5], 'bd', band, 'wv', wave, 'at', 0, 'fx', 0, 'ls', 0,
      'to', timeout, 'pl', body, 'po', rules, 'rs', age + i, 'ra', now)
    call('SADD', T .. 'jt:' .. jid, number)
    call('HSETNX', T .. 'cls', cls, kind)
    enqueue(tid, cls, j[5], band, age + i)
    made = number + 1
    if not ready[cls] then order[#order + 1] = cls end
    ready[cls] = (ready[cls] or 0) + 1
  end
end
call('HSET', job, 'sw', wave, 'spn', made)
call('ZADD', T .. 'D', now + ttl, jid)
for _, cls in ipairs(order) do wake(cls, ready[cls]) end
return { 'ok' }
