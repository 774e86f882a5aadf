#!lua flags=allow-oom
--[[
claim: hand ready tasks to seats; register the replica for wake-ups where too little was found.

KEYS  1 the partition's tag
ARGV  replica, history (0|1), register (0|1), #classes, class..., #seats, (worker, nonce, lease ms, patient 0|1, price)...
OUT   {{seat number, task, attempt, body, ms waited}...}
TWICE takes other tasks; those of a lost reply come back when their delivery lease ends
]]
-- @include _queue
return take(read_claim())
