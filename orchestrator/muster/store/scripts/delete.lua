#!lua flags=allow-oom
--[[
delete: forget a job and everything of it, whatever its state; its tasks a chunk at a time.

KEYS  1 the partition's tag
ARGV  job, first task of the chunk, tasks per chunk, ttl ms of what is left where nobody sends the next chunk
OUT   {'more', first task of the next chunk} | {'ok', artifact records} | {'gone'}
TWICE a chunk: nothing more; afterwards {'gone'}
]]
-- @include _queue
-- @include _question
-- @include _children
local jid, from, count, ttl = arg(), int(), int(), int()
local job = T .. 'j:' .. jid
local KINDS = { 'j:', 'i:', 'e:', 'h:', 'jt:', 'lg:', 'sp:', 'md:', 'fa:', 'sb:', 'pk:', 'en:' }

local j = fields(job, 'fin', 'st', 'fl', 'tmr', 'nt', 'spn', 'aw', 'ac', 'al', 'ft', 'tg', 'pa', 'ik', 'bp', 'bv',
  'ask', 'ba', 'pz', 'ad', 'sa', 'ch', 'wv')
if not j.fin then return { 'gone' } end
local flow, ended = j.fl, tonumber(j.ft or now)
if j.fin == '0' then   -- from here on nobody may decide, claim, report or keep anything
  call('HSET', job, 'fin', '1', 'st', 'cancelled', 'tl', '', 'cx', '0', 'ft', now)
  call('HDEL', job, 'pz')
  count_status(j.st, 'cancelled')
  if j.ad then release_admission(jid, j.ad, j.sa == '') end
  local stood = string.match(j.pz or '', '^%d+|([^|]*)|') or j.st   -- batches do not count pauses
  if j.ba then count_in_batch(jid, j.ba, stood, 'cancelled', true) end
  call('ZREM', T .. 'D', jid)
  call('ZREM', T .. 'tm', 'c|' .. jid, 'e|' .. jid, j.tmr or '')
  call('ZREM', T .. 'xr:' .. flow, jid)
  call('ZREM', version_index(j.bp, j.bv), jid)
  close_question(jid, flow, j.ask)
  for tag in each_tag(j.tg) do call('ZREM', T .. 'xl:' .. flow .. ':' .. tag, jid) end
  count_job(jid, false)
  for child in each_child(j.ch) do stop_child(jid, j.wv, child) end
  if j.pa then
    deliver_end(j.pa, jid, '{"k":"child","s":"cancelled","d":null,"c":"","m":"deleted","j":"' .. jid .. '"}')
  end
  for _, kind in ipairs(KINDS) do call('PEXPIRE', T .. kind .. jid, ttl) end
  announce(jid, j.aw)
  announce(jid, j.ac)
  announce(jid, j.al, nil, 'l')
  announce_to_tenant(jid, flow)
end

local top = math.max(tonumber(j.nt), tonumber(j.spn))
local last = math.min(from + count, top)
for number = from, last - 1 do drop_task(jid, tostring(number)) end
wake_opened()
if last < top then return { 'more', tostring(last) } end

for tag in each_tag(j.tg) do
  call('ZREM', T .. 'xl:' .. flow .. ':' .. tag, jid)
  call('ZREM', T .. 'xt:' .. flow .. ':' .. tag, jid)
end
local day = math.floor(ended / DAY_MS)   -- by another clock than that of the commit which wrote the index
for near = day - 1, day + 1 do call('ZREM', T .. 'xf:' .. near .. ':' .. flow, jid) end
if j.ik and string.sub(call('GET', T .. 'k:' .. j.ik) or '', 1, 36) == jid then call('UNLINK', T .. 'k:' .. j.ik) end
unlist_failure(jid, flow)
local files = call('HVALS', T .. 'fa:' .. jid)
for _, kind in ipairs(KINDS) do call('UNLINK', T .. kind .. jid) end
return { 'ok', files }
