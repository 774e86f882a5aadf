#!lua flags=allow-oom
--[[
note_limit: set some parts of a limit, or take them away: what was set by a call, what a server's file says, its pause.

KEYS  1 the global tag
ARGV  its name, limits max, (part: set | file | paused, text or '': nothing of it)...
OUT   {'ok', `<1: paused>|<length of the first text>|<text set><text of the file>` or '' (nothing is left)} | {'full'}
TWICE the same
]]
local key, name = KEYS[1] .. 'gd', ARGV[1]
local kept = redis.call('HGET', key, name)
local limit = { set = '', file = '', paused = '' }
if kept then
  local paused, length, texts = string.match(kept, '^(1?)|(%d+)|(.*)$')
  if not paused then   -- as older servers kept it: one text
    paused, length, texts = string.find(kept, '"paused":true', 1, true) and '1' or '', #kept, kept
  end
  limit = { set = string.sub(texts, 1, tonumber(length)), file = string.sub(texts, tonumber(length) + 1), paused = paused }
elseif redis.call('HLEN', key) >= tonumber(ARGV[2]) then
  for i = 4, #ARGV, 2 do
    if ARGV[i] ~= '' then return { 'full' } end
  end
end
for i = 3, #ARGV, 2 do limit[ARGV[i]] = ARGV[i + 1] end
if limit.set == '' and limit.file == '' and limit.paused == '' then
  redis.call('HDEL', key, name)
  return { 'ok', '' }
end
kept = (limit.paused ~= '' and '1' or '') .. '|' .. #limit.set .. '|' .. limit.set .. limit.file
redis.call('HSET', key, name, kept)
return { 'ok', kept }
