#!lua flags=allow-oom
--[[
extend: push the deadlines of leases that are still held; take the progress they report.

KEYS  1 the partition's tag
ARGV  worker or '' (the engine itself), lease ms, #leases, (task, attempt or '', fence or '', progress or '', message or '',
      ms since the handler's own last sign or '')...
OUT   {'ok' | 'cancel' | 'lost', ...} in order
TWICE the same deadlines, later by the time between
]]
-- @include _queue
local worker, lease = arg(), int()
local out = {}
for i = 1, int() do
  local tid, attempt, fence, progress, message, silent = arg(), arg(), arg(), arg(), arg(), arg()
  local key = T .. 't:' .. tid
  local t = call('HMGET', key, 'st', 'at', 'nz', 'w', 'hd', 'hb', 'sg', 'le')
  local held = t[1] == 'L' and (worker == '' or t[4] == worker) and (attempt == '' or t[2] == attempt)
    and (fence == '' or t[3] == fence)
  local job = T .. 'j:' .. string.sub(tid, 1, 36)
  local j = call('HMGET', job, 'fin', 'cx', 'cur', 'ac', 'fl')
  if not held or j[1] ~= '0' then
    out[i] = 'lost'
  else
    local sign_at, le = tonumber(t[7] or now), lease > 0 and now + lease or tonumber(t[8] or nil)
    if t[6] then
      if silent ~= '' then sign_at = math.max(sign_at, now - silent) end
      if progress ~= '' and silent == '' then sign_at = now end
      call('HSET', key, 'sg', sign_at, 'le', le)
    end
    if le then call('ZADD', T .. 'L', 'XX', lease_end(le, tonumber(t[5]), sign_at, tonumber(t[6] or nil)), tid) end
    if progress ~= '' and j[3] == string.sub(tid, 38) then
      call('HSET', job, 'pg', progress, 'pm', message)
      call('HINCRBY', job, 'pv', 1)
      announce(string.sub(tid, 1, 36), j[4])
      announce_to_tenant(string.sub(tid, 1, 36), j[5])
    end
    out[i] = j[2] == '1' and 'cancel' or 'ok'
  end
end
return out
