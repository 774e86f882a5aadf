#!lua
--[[
begin_child: make a job that one in another partition has started, and lease its first turn to the caller.

KEYS  1 the partition's tag
ARGV  turn token, turn ttl ms, then a job as submit's
OUT   {'created'} | {'ok'}
TWICE the same token: {'created'} while the caller holds the turn, else {'ok'}: it was made before
]]
-- @include _queue
-- @include _commit
local token, ttl = arg(), int()
local new = read_job()
local held = call('HGET', T .. 'j:' .. new.id, 'tl')
if held then return { held == token and 'created' or 'ok' } end
make_job(new, token, ttl, '')
announce_to_tenant(new.id, new.flow, 0)
return { 'created' }
