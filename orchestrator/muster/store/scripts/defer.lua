#!lua flags=allow-oom
--[[
defer: give a turn back without a decision; it is due again after a delay.

KEYS  1 the partition's tag
ARGV  job, turn token, delay ms, failed (0|1), error details or ''
OUT   {'ok', failures in a row} | {'stale'}
TWICE the token no longer holds the turn: {'stale'}, nothing written
]]
-- @include _queue
local jid, token, delay, failed, details = arg(), arg(), int(), arg(), arg()
local job = T .. 'j:' .. jid
if call('HGET', job, 'tl') ~= token then return { 'stale' } end
local failures = call('HINCRBY', job, 'tf', failed)
call('HSET', job, 'tl', '')
if details ~= '' then call('HSET', job, 'det', details) end
call('ZADD', T .. 'D', now + delay, jid)
return { 'ok', tostring(failures) }
