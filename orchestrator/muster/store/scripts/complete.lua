#!lua flags=allow-oom
--[[
complete: take one attempt's end: deliver it to the job's mailbox, or put the task back.

KEYS  1 the partition's tag
ARGV  job, number, worker or '' (the engine itself), attempt or '', fence or '',
      mode (deliver | retry | lost | requeue), delay ms, failed (0|1), mailbox item, history entry, turn token, turn ttl ms, counts by code,
      with claim (0|1), then a claim where 1
OUT   {'turn', header, items, flag, ms run} | {'noted', claimed, '', flag, ms run} | {'retry', ms run}
      | {'gone', next task number} | {'foreign'} | {'stale'} | {'final'}; flag: 'cancel' where the job's end was asked for
TWICE the task is gone by then: {'turn'} again where the caller holds the turn, else {'gone'}
]]
-- @include _queue
-- @include _complete
local reply = complete(read_completion())
wake_opened()
return reply
