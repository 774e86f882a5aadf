#!lua flags=allow-oom
--[[
end_child: tell a job of the end of a child that another partition has; its turn is due then.

KEYS  1 the partition's tag
ARGV  job, wave that waits for the child, child, mailbox item
OUT   {'ok'} | {'gone'}: nobody waits for it (any more)
TWICE {'gone'}
]]
-- @include _queue
-- @include _children
local jid, wave, child, item = arg(), arg(), arg(), arg()
return { take_end(jid, wave, child, item) and 'ok' or 'gone' }
