#!lua flags=no-writes
--[[
tally: how many steps and artifacts some jobs have together.

KEYS  1 the partition's tag
ARGV  job...
OUT   {steps, artifacts}
TWICE reads only
]]
-- @include _queue
local steps, artifacts = 0, 0
for _, jid in ipairs(ARGV) do
  steps = steps + call('HLEN', T .. 'sp:' .. jid)
  artifacts = artifacts + call('HLEN', T .. 'fa:' .. jid)
end
return { tostring(steps), tostring(artifacts) }
