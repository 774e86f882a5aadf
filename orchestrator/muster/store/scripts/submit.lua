#!lua
--[[
submit: store a new job and lease its first turn to the caller, or write that turn too where it is decided already.

KEYS  1 the partition's tag
ARGV  job, tenant, tenant's hash, blueprint, version, state, submission, context, status, parent or '', history entry,
      hashes of the tags separated by commas, name it is counted under, deadline in ms or '',
      idempotency key's hash or '', its ttl ms, its fingerprint, turn token, turn ttl ms, watcher or '',
      with admission (0|1): client's hash or '', live jobs max, queued max, us between submits, burst, unique key's hash
      or '', ms it is taken (0: while the job lives), replaces (0|1), debounce key's hash or '', delay ms, most ms;
      with commit (0|1), then a commit's arguments after its job
OUT   {'created'} | {'exists', job, fingerprint} | what commit answers | {'taken', job} | {'putoff', job, new (0|1)} |
      {'limited', rate|live|queued, retry ms}
TWICE the same job id and token: {'created'} or the commit's second answer, nothing written
]]
-- @include _queue
-- @include _question
-- @include _commit
-- @include _admission
local new = read_job()
local idem, idem_ttl, print, token, ttl, watcher = arg(), int(), arg(), arg(), int(), arg()
local jid = new.id

local wish = arg() == '1' and read_admission() or nil
local first = arg() == '1' and read_commit() or nil

if call('EXISTS', T .. 'j:' .. jid) == 1 then
  if wish and wish.debounce ~= '' then return { 'putoff', jid, '1' } end
  local reply = first and commit(jid, first) or { 'created' }
  return reply[1] == 'stale' and { 'ok', {}, tostring(now) } or reply   -- written then; the job has moved on since
end
if idem ~= '' then
  local known = call('GET', T .. 'k:' .. idem)
  if known then
    return { 'exists', string.sub(known, 1, 36), string.sub(known, 38) }
  end
end

local refusal = wish and refused(wish, new)
if refusal then return refusal end

local waits = wish and wish.debounce ~= ''
make_job(new, waits and '' or token, waits and wish.delay or not first and ttl or nil, watcher)
if wish then admit(wish, new) end
if idem ~= '' then
  call('SET', T .. 'k:' .. idem, jid .. '|' .. print, 'PX', idem_ttl)
  call('HSET', T .. 'j:' .. jid, 'ik', idem)
end
if first then return commit(jid, first) end
announce_to_tenant(jid, new.flow, 0)
return waits and { 'putoff', jid, '1' } or { 'created' }
