#!lua
--[[
step: take one attempt's end and write the turn it makes due, which the caller decided ahead. Where the job is not as the
caller knew it, only complete is done, and answered.

KEYS  1 the partition's tag
ARGV  complete's, then commit's after its job; both name one turn token
OUT   {'step', ms run, {created, started, retries, extra revisions, cost}, what commit answers} | what complete answers
TWICE the same token: {'step', 0, ...} with commit's second answer, or as complete where only that was done
]]
-- @include _queue
-- @include _complete
-- @include _question
-- @include _commit
local c = read_completion()
local decided = read_commit()
c.claim = decided.claim   -- where the end is only noted, its seats are filled all the same
local reply = complete(c, decided)
if reply[1] ~= 'due' then
  wake_opened()
  return reply
end
local written = commit(c.jid, decided)
wake_opened()
return { 'step', reply[2], call('HMGET', T .. 'j:' .. c.jid, 'ct', 'sa', 'rc', 'pv', 'cm'), written }
