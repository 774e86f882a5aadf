#!lua flags=no-writes
--[[
glance: look at a stretch of an index of jobs, highest scores first: which they are, made when, in which status, at what cost.

KEYS  1 the partition's tag
ARGV  index (its key without the tag), highest score or '+inf', offset, jobs max, status... (none: every status)
OUT   {jobs looked at, first score, last score, (job, created ms, status, begun (0|1), cost)...}; scores are '' where there
      are no jobs
TWICE reads only
]]
-- @include _queue
local index, top, offset, most = T .. arg(), arg(), int(), int()
local wanted = nil
for i = 5, #ARGV do
  wanted = wanted or {}
  wanted[ARGV[i]] = true
end
local members = call('ZREVRANGEBYSCORE', index, top, '-inf', 'WITHSCORES', 'LIMIT', offset, most)
local out = { tostring(#members / 2), members[2] or '', members[#members] or '' }
for i = 1, #members, 2 do
  local j = call('HMGET', T .. 'j:' .. members[i], 'st', 'ct', 'sa', 'cur', 'cm')
  if j[1] and (not wanted or wanted[j[1]]) then
    local begun = j[1] ~= 'pending' and (j[3] or '') ~= ''
    if j[1] == 'waiting_for_worker' then
      begun = call('HGET', T .. 't:' .. members[i] .. '.' .. (j[4] or ''), 'st') == 'L'
    end
    local n = #out
    out[n + 1], out[n + 2], out[n + 3] = members[i], j[2], j[1]
    out[n + 4], out[n + 5] = begun and '1' or '0', j[5] or '0'
  end
end
return out
