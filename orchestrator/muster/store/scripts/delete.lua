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

local j = call('HMGET', job, 'fin', 'st', 'fl', 'tmr', 'nt', 'spn', 'aw', 'ac', 'al', 'ft', 'tg', 'pa', 'ik', 'bp', 'bv',
  'ask', 'ba', 'pz', 'ad', 'sa', 'ch', 'wv')
if not j[1] then return { 'gone' } end
local flow, ended = j[3], tonumber(j[10] or now)
if j[1] == '0' then   -- from here on nobody may decide, claim, report or keep anything
  call('HSET', job, 'fin', '1', 'st', 'cancelled', 'tl', '', 'cx', '0', 'ft', now)
  call('HDEL', job, 'pz')
  count_status(j[2], 'cancelled')
  if j[19] then release_admission(jid, j[19], j[20] == '') end
  local stood = string.match(j[18] or '', '^%d+|([^|]*)|') or j[2]   -- batches do not count pauses
  if j[17] then count_in_batch(jid, j[17], stood, 'cancelled', true) end
  call('ZREM', T .. 'D', jid)
  call('ZREM', T .. 'tm', 'c|' .. jid, 'e|' .. jid, j[4] or '')
  call('ZREM', T .. 'xr:' .. flow, jid)
  call('ZREM', version_index(j[14], j[15]), jid)
  close_question(jid, flow, j[16])
  for tag in each_tag(j[11]) do call('ZREM', T .. 'xl:' .. flow .. ':' .. tag, jid) end
  count_job(jid, false)
  for child in each_child(j[21]) do stop_child(jid, j[22], child) end
  if j[12] then
    deliver_end(j[12], jid, '{"k":"child","s":"cancelled","d":null,"c":"","m":"deleted","j":"' .. jid .. '"}')
  end
  for _, kind in ipairs(KINDS) do call('PEXPIRE', T .. kind .. jid, ttl) end
  announce(jid, j[7])
  announce(jid, j[8])
  announce(jid, j[9], nil, 'l')
  announce_to_tenant(jid, flow)
end

local top = math.max(tonumber(j[5]), tonumber(j[6]))
local last = math.min(from + count, top)
for number = from, last - 1 do drop_task(jid, tostring(number)) end
wake_opened()
if last < top then return { 'more', tostring(last) } end

for tag in each_tag(j[11]) do
  call('ZREM', T .. 'xl:' .. flow .. ':' .. tag, jid)
  call('ZREM', T .. 'xt:' .. flow .. ':' .. tag, jid)
end
local day = math.floor(ended / DAY_MS)   -- by another clock than that of the commit which wrote the index
for near = day - 1, day + 1 do call('ZREM', T .. 'xf:' .. near .. ':' .. flow, jid) end
if j[13] and string.sub(call('GET', T .. 'k:' .. j[13]) or '', 1, 36) == jid then call('UNLINK', T .. 'k:' .. j[13]) end
unlist_failure(jid, flow)
local files = call('HVALS', T .. 'fa:' .. jid)
for _, kind in ipairs(KINDS) do call('UNLINK', T .. kind .. jid) end
return { 'ok', files }
