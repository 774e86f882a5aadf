#!lua flags=allow-oom
--[[
watch_tenant: for a time, be told of every change of the tenant's jobs in this partition. The newest eight replicas are.

KEYS  1 the partition's tag
ARGV  tenant's hash, replica, ttl ms
OUT   {'new'}: it was not listed, and may have missed changes | {'known'}
TWICE {'known'}
]]
-- @include _queue
local flow, rid, ttl = arg(), arg(), int()
local key = T .. 'tw:' .. flow
local kept, count, known, last = rid .. '@' .. (now + ttl), 1, 'new', now + ttl
for other, ends in string.gmatch(call('GET', key) or '', '([^,@]+)@(%d+)') do
  if other == rid then
    known = tonumber(ends) > now and 'known' or 'new'
  elseif tonumber(ends) > now and count < 8 then
    kept, count, last = kept .. ',' .. other .. '@' .. ends, count + 1, math.max(last, tonumber(ends))
  end
end
call('SET', key, kept, 'PXAT', last)
return { known }
