#!lua flags=allow-oom
--[[
audit: compare some leased tasks with the slots they should hold, or some holders of a gate's slots with their leases, and
make good what differs; or let pass who waits at gates that have room.

KEYS  1 the partition's tag
ARGV  what (leases | slots | parked), gate (of slots) or '', task... (of parked: gate...)
OUT   {slots given, slots that nobody held any more}
TWICE nothing more is found
]]
-- @include _queue
local what, gate = arg(), arg()
local given, drift = 0, 0

local function holds(held, name)
  return string.find(' ' .. held .. ' ', ' ' .. name .. ' ', 1, true) ~= nil
end

local function give(tid)
  local key = T .. 't:' .. tid
  local t = call('HMGET', key, 'st', 'q', 'fl', 'fw', 'gs', 'w')
  if t[1] ~= 'L' or t[6] == '' then return end   -- leased to nobody: it waited too long, and is about to end
  local held = t[5] or ''
  for _, gates in ipairs({ class_gates(t[2]), flow_gates(t[3] .. (t[4] or ''), t[2]) }) do
    for _, g in ipairs(gates) do
      if g.policy.most and not (holds(held, g.name) and call('ZSCORE', T .. 'g:' .. g.name, tid)) then
        hold(tid, g.name)
        if not holds(held, g.name) then held = held == '' and g.name or held .. ' ' .. g.name end
        given = given + 1
      end
    end
  end
  if held ~= (t[5] or '') then call('HSET', key, 'gs', held) end
end

local function take_back(tid)
  local t = call('HMGET', T .. 't:' .. tid, 'st', 'gs')
  if t[1] == 'L' and holds(t[2] or '', gate) then return end
  leave_slot(tid, gate)
  drift = drift + 1
end

local look = { leases = give, slots = take_back, parked = open }
for i = cursor + 1, #ARGV do look[what](ARGV[i]) end
if drift > 0 then open(gate) end
wake_opened()
return { tostring(given), tostring(drift) }
