#!lua
--[[
commit: write what a turn decided, make its tasks ready, and claim for seats that wait here.

KEYS  1 the partition's tag
ARGV  job, version, turn token, turn ttl ms, next turn's token, final (0|1), status, state, context, need, policy ('' | ff | t:left | k:left | u),
      wave, next task number, current task or '', started (0|1), clear cancel (0|1), replica, result, error, details,
      retention ms, day of the index, its ttl ms, deadline ms or '',
      #history, entry..., #tasks, (number, class, type, body, policy, timeout ms, band, limits, flow)...,
      #messages, (id, body)..., #drops, (from, to)..., hashes of the awaited signals or '', the end's item for the parent or '',
      a question ('': none; '-', or ms until its first escalation),
      #children, ('j', then a job as submit's; or 's', id, the start's message where it is spread)...,
      fingerprint of the error or '', #states entered, (state, what with)..., with claim (0|1), then a claim where 1
OUT   {'ok', claimed, now ms} | {'again', claimed, now ms, header, items} | {'stale'} | {'gone'}
TWICE the same token: {'ok', {}, now}, or {'again', {}, now, ...} where the next turn is still the caller's
]]
-- @include _queue
-- @include _question
-- @include _commit
local jid = arg()
return commit(jid, read_commit())
