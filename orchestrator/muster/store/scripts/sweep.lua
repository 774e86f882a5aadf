#!lua flags=no-writes
--[[
sweep: which classes have ready tasks, and how many. Repairs lost wake-ups and feeds the dashboard.

KEYS  1 the partition's tag
ARGV  classes max
OUT   {{class, type, ready tasks, flows}..., leased, statuses} : {classes, leased count, flat status counts}
TWICE reads only
]]
-- @include _queue
local out, budget = {}, int()
local all = call('HGETALL', T .. 'cls')
for i = 1, math.min(#all, budget * 2), 2 do
  local count = 0
  local flows = call('ZRANGE', T .. 'q:' .. all[i], 0, 99)
  for _, gate in ipairs(call('ZRANGE', T .. 'go:' .. all[i], 0, 9)) do   -- they only wait to be fetched
    for _, flow in ipairs(call('ZRANGE', T .. 'gf:' .. gate .. '|' .. all[i], 0, 9)) do flows[#flows + 1] = flow end
  end
  for _, flow in ipairs(flows) do count = count + call('ZCARD', T .. 'f:' .. all[i] .. '|' .. flow) end
  if count > 0 then out[#out + 1] = { all[i], all[i + 1], tostring(count) } end
end
return { out, tostring(call('ZCARD', T .. 'L')), call('HGETALL', T .. 'n') }
