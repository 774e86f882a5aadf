#!lua
--[[
retry: make a job that is over live again, in one of its states, with all that lists it; its turn is leased to the caller.

KEYS  1 the partition's tag
ARGV  job, version, turn token, turn ttl ms, status, state, context, blueprint version, history entry
OUT   {'turn', header, items} | {'ok'} | {'live'} | {'stale'} | {'gone'}
TWICE the same token: {'turn'} again while the caller holds the turn, else {'ok'}
]]
-- @include _queue
local jid, version, token, ttl, status, state, ctx, bv, entry = arg(), arg(), arg(), int(), arg(), arg(), arg(), arg(), arg()
local job = T .. 'j:' .. jid
local j = call('HMGET', job, 'fin', 'v', 'tl', 'rt', 'st', 'fl', 'ct', 'ft', 'tg', 'bp', 'mt', 'rm', 'cm', 'wv', 'pa')
if not j[1] then return { 'gone' } end
if j[4] == token then
  if j[3] ~= token then return { 'ok' } end
  local reply = turn_reply(jid)
  return { 'turn', reply[1], reply[2] }
end
if j[1] ~= '1' then return { 'live' } end
if j[2] ~= version then return { 'stale' } end
local flow, created = j[6], tonumber(j[7])

-- It was counted with all its runs, and will be when it is over again.
local sums, meter = T .. 'co:' .. math.floor(created / DAY_MS) .. ':' .. flow, j[11] or j[10]
if call('HEXISTS', sums, 'j|' .. meter) == 0 then meter = string.match(meter, '^([^|]*)|') or meter end
if call('HEXISTS', sums, 'j|' .. meter) == 1 then
  call('HINCRBY', sums, 'j|' .. meter, -1)
  if j[12] then call('HINCRBY', sums, 'r|' .. meter, 0 - tonumber(j[12])) end
  if j[13] then call('HINCRBY', sums, 'c|' .. meter, 0 - tonumber(j[13])) end
end

local day = math.floor(tonumber(j[8]) / DAY_MS)   -- by another clock than that of the commit which wrote the index
for near = day - 1, day + 1 do call('ZREM', T .. 'xf:' .. near .. ':' .. flow, jid) end
unlist_failure(jid, flow)
call('ZADD', T .. 'xr:' .. flow, created, jid)
call('ZADD', version_index(j[10], bv), created, jid)
for tag in each_tag(j[9]) do
  call('ZREM', T .. 'xt:' .. flow .. ':' .. tag, jid)
  tag_job('xl:', flow, tag, created, jid)
end
call('HSET', job, 'fin', '0', 'st', status, 's', state, 'ctx', ctx, 'bv', bv, 'v', tonumber(version) + 1,
  'wv', tonumber(j[14]) + 1, 'ut', now, 'need', 0, 'cx', '0', 'tf', 0, 'tmr', '', 'cur', '', 'pol', '', 'ch', '',
  'ws', '', 'pg', '', 'pm', '', 'rt', token, 'rb', now)
-- The job that started it was told of its end, and goes on by that: nobody is told of another one.
if j[15] then call('HSET', job, 'pa', (string.gsub(j[15], '^([^|]+)|%d+|(%d+).*$', '%1|0|%2'))) end
call('HDEL', job, 'ft', 'res', 'err', 'det', 'dl', 'dp', 'ba', 'ad')   -- batch and client counted its end
for _, kind in ipairs({ 'j:', 'h:', 'jt:', 'lg:', 'sp:', 'md:', 'fa:', 'en:' }) do call('PERSIST', T .. kind .. jid) end
count_status(j[5], status)
note(jid, entry)
announce_to_tenant(jid, flow)
local reply = lease_turn(jid, token, ttl)
return { 'turn', reply[1], reply[2] }
