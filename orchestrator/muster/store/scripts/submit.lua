#!lua
--[[
submit: store a new job and lease its first turn to the caller, or write that turn too where it is decided already.

KEYS  1 the partition's tag
ARGV  job, tenant, tenant's hash, blueprint, version, state, submission, context, status,
      idempotency key's hash or '', its ttl ms, its fingerprint, turn token, turn ttl ms, watcher or '', history entry,
      with commit (0|1), then a commit's arguments after its job
OUT   {'created'} | {'exists', job, fingerprint} | what commit answers
TWICE the same job id and token: {'created'} or the commit's second answer, nothing written
]]
-- @include _queue
-- @include _commit
local jid, tenant, flow, bp, bv, state, sub, ctx, status = arg(), arg(), arg(), arg(), arg(), arg(), arg(), arg(), arg()
local idem, idem_ttl, print, token, ttl, watcher, entry = arg(), int(), arg(), arg(), int(), arg(), arg()
local job = T .. 'j:' .. jid

local first = arg() == '1' and read_commit() or nil

if call('EXISTS', job) == 1 then
  local reply = first and commit(jid, first) or { 'created' }
  return reply[1] == 'stale' and { 'ok', {}, tostring(now) } or reply   -- written then; the job has moved on since
end
if idem ~= '' then
  local known = call('GET', T .. 'k:' .. idem)
  if known then
    return { 'exists', string.sub(known, 1, 36), string.sub(known, 38) }
  end
end

call('HSET', job, 'ten', tenant, 'fl', flow, 'bp', bp, 'bv', bv, 'st', status, 's', state, 'v', 0, 'wv', 0, 'nt', 0,
  'sub', sub, 'ctx', ctx, 'ct', now, 'ut', now, 'sa', '', 'fin', '0', 'need', 0, 'tl', token, 'cx', '0', 'tf', 0,
  'nl', 0, 'sw', 0, 'spn', 0, 'rc', 0, 'aw', watcher)
if idem ~= '' then call('SET', T .. 'k:' .. idem, jid .. '|' .. print, 'PX', idem_ttl) end
note(jid, entry)
call('ZADD', T .. 'xr:' .. flow, now, jid)
call('HINCRBY', T .. 'n', status, 1)
if first then return commit(jid, first) end
call('ZADD', T .. 'D', now + ttl, jid)
announce_to_tenant(jid, flow, 0)
return { 'created' }
