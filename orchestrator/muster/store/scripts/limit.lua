#!lua flags=allow-oom
--[[
limit: give a gate another policy, or none. Who may pass by it is let pass; what runs goes on running.

A policy that is being counted is not where the gate counts its slots already: every lease has its slot then.

KEYS  1 the partition's tag
ARGV  gate, policy as `gl` keeps it or '' (none), the policy it must have now or '' (whatever it has)
OUT   {'ok'} | {'counting'}: nothing passes before an audit | {'stale'}
TWICE the same
]]
-- @include _queue
local gate, text, expected = arg(), arg(), arg()
local known = call('HGET', T .. 'gl', gate)
if expected ~= '' and known ~= expected then return { 'stale' } end
if known and string.find(known, '^%d.*|$') then text = string.gsub(text, '|1$', '|') end
if text == '' then
  call('HDEL', T .. 'gl', gate)
else
  call('HSET', T .. 'gl', gate, text)
end
open(gate)
wake_opened()
return { string.sub(text, -2) == '|1' and 'counting' or 'ok' }
