#!lua
--[[
migrate: move a live job to another version of its blueprint, between two turns.

KEYS  1 the partition's tag
ARGV  job, its version number, blueprint, blueprint version, new blueprint version, new state,
      new context or '' (as it is), history entry
OUT   {'ok'} | {'gone'} | {'final'} | {'stale'} (it has gone on meanwhile) | {'held'} (somebody decides now)
TWICE {'ok'}, nothing written
]]
-- @include _queue
local jid, version, blueprint, old, new, state, ctx, entry = arg(), arg(), arg(), arg(), arg(), arg(), arg(), arg()
local job = T .. 'j:' .. jid
local j = call('HMGET', job, 'v', 'bv', 'fin', 'tl', 'sw', 'ac', 'fl', 'ct', 'de', 'wv')
if not j[1] then return { 'gone' } end
if j[2] == new and tonumber(j[1]) == tonumber(version) + 1 then return { 'ok' } end
if j[3] == '1' then return { 'final' } end
if j[1] ~= version or j[2] ~= old then return { 'stale' } end
if (j[4] ~= '' and j[4] ~= PAUSED) or j[5] ~= '0' then return { 'held' } end
-- The version grows, so that what a replica remembers of the job, or decides ahead of a result, is not believed.
call('HSET', job, 'v', tonumber(version) + 1, 'bv', new, 's', state, 'ut', now, 'tf', 0)
if ctx ~= '' then call('HSET', job, 'ctx', ctx) end
call('ZREM', version_index(blueprint, old), jid)
call('ZADD', version_index(blueprint, new), j[8], jid)
local is_put_off = j[9] and j[10] == '0'   -- debounced: its time is still to come
if not is_put_off and call('ZSCORE', T .. 'D', jid) then call('ZADD', T .. 'D', now, jid) end
note(jid, entry)
announce(jid, j[6])
announce_to_tenant(jid, j[7])
return { 'ok' }
