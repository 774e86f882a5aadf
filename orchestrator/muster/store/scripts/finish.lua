#!lua flags=allow-oom
--[[
finish: the commit that ends a job. Allowed on a full server too: it frees the job's tasks, and lets the server drain.

KEYS, ARGV, OUT, TWICE  as commit
]]
-- @include _queue
-- @include _question
-- @include _commit
local jid = arg()
return commit(jid, read_commit())
