#!lua flags=allow-oom
--[[
limit: give a gate another policy, or none. Who may pass by it is let pass; what runs goes on running.

KEYS  1 the partition's tag
ARGV  gate, policy as `gl` keeps it or '' (none), the policy it must have now or '' (whatever it has)
OUT   {'ok'} | {'stale'}
TWICE the same
]]
-- @include _queue
local gate, text, expected = arg(), arg(), arg()
if expected ~= '' and call('HGET', T .. 'gl', gate) ~= expected then return { 'stale' } end
if text == '' then
  call('HDEL', T .. 'gl', gate)
else
  call('HSET', T .. 'gl', gate, text)
end
open(gate)
wake_opened()
return { 'ok' }
