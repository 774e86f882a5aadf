#!lua flags=no-writes
--[[
gates: who holds the slots of some gates, and when those open again that are shut by their rate.

KEYS  1 the partition's tag
ARGV  holders max, gate...
OUT   {slots held, ms when it opens or '', {task, longest first...}} each
TWICE reads only
]]
-- @include _queue
local most, out = int(), {}
for i = cursor + 1, #ARGV do
  local gate, opens = ARGV[i], nil
  local p, key = policy_of(gate), T .. 'g:' .. gate
  if p then opens = select(2, room(gate, p)) end
  out[#out + 1] = { tostring(call('ZCARD', key)), opens and string.format('%.0f', opens) or '',
    call('ZRANGE', key, 0, most - 1) }
end
return out
