#!lua
--[[
rerun: make a job of another one, in one of its states, and name it there. Its first turn is leased to the caller.

KEYS  1 the partition's tag
ARGV  the other job, names kept max, turn token, turn ttl ms, then a job as submit's
OUT   {'created'} | {'ok'} | {'gone'}
TWICE the same job and token: {'created'} while the caller holds the turn, else {'ok'}
]]
-- @include _queue
-- @include _commit
local old, most, token, ttl = arg(), int(), arg(), int()
local new = read_job()
local held = call('HGET', T .. 'j:' .. new.id, 'tl')
if held then return { held == token and 'created' or 'ok' } end
local names = call('HMGET', T .. 'j:' .. old, 'v', 'rts')
if not names[1] then return { 'gone' } end
make_job(new, token, ttl, '')
local kept, count = new.id, 1
for name in string.gmatch(string.reverse(names[2] or ''), '[^,]+') do
  if count < most then kept, count = string.reverse(name) .. ',' .. kept, count + 1 end
end
call('HSET', T .. 'j:' .. old, 'rts', kept)
call('HINCRBY', T .. 'j:' .. old, 'pv', 1)
announce_to_tenant(new.id, new.flow, 0)
return { 'created' }
