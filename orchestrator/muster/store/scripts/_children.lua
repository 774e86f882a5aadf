-- Children. `ch` in a job's header names those whose ends its wait still lacks, separated by commas; `*` behind one says that
-- it is spread: its keys carry another tag, so its start, its end and the wish to cancel it go as messages of the outbox
-- (`ob:<child>.start`, `.end`, `.cancel`). Included by what makes, ends, cancels and deletes jobs.

-- A message to deliver at once.
local function send_soon(id, body)
  call('HSET', T .. 'ob:' .. id, 'b', body, 'n', 0)
  call('ZADD', T .. 'tm', now, 'o|' .. id)
end

local function each_child(ch)
  return string.gmatch(ch or '', '([^,*]+)(%*?)')
end

-- The one child that a job waits for, where it has one and that is in this partition; else ''.
local function only_child(ch)
  return string.match(ch or '', '^[^,*]+$') or ''
end

-- `ch` without one of them; nil where it is not there: its end has come before, or nobody waits for it.
local function without_child(ch, child)
  local left, found = {}, false
  for id, star in each_child(ch) do
    if id == child then found = true else left[#left + 1] = id .. star end
  end
  return found and table.concat(left, ',') or nil
end

-- Put a child's end into the mailbox of the wave that waits for it, if it still does, and make the job's turn due; that of a
-- job to be cancelled once it has no other child, and no worker in its grace. Returns whether it was waited for.
local function take_end(pid, wave, child, item)
  local p = call('HMGET', T .. 'j:' .. pid, 'fin', 'wv', 'tl', 'ch', 'cx', 'nl')
  if p[1] ~= '0' or p[2] ~= wave then return false end
  local left = without_child(p[4], child)
  if not left then return false end
  call('RPUSH', T .. 'i:' .. pid, item)
  call('HSET', T .. 'j:' .. pid, 'ch', left)
  local working = tonumber(p[6]) > 0 and call('ZSCORE', T .. 'tm', 'c|' .. pid)
  if p[5] == '1' and (left ~= '' or working) then return true end
  call('HSET', T .. 'j:' .. pid, 'need', 0)
  if p[3] == '' then call('ZADD', T .. 'D', now, pid) end
  return true
end

-- Tell the job that started `child` of its end. `parent` is the child's field `pa`.
local function deliver_end(parent, child, item)
  local pid, wave, spread = string.match(parent, '^([^|]+)|(%d+)|%d+(|?s?)$')
  if spread == '|s' then
    send_soon(child .. '.end', '{"k":"end","c":"' .. child .. '","p":"' .. pid .. '|' .. wave .. '","i":' .. item .. '}')
  else
    take_end(pid, wave, child, item)
  end
end

-- Have a spread child made. The message is dropped once nobody waits for the child any more.
local function start_spread(jid, wave, child, body)
  send_soon(child .. '.start', body)
  call('HSET', T .. 'ob:' .. child .. '.start', 'pa', jid .. '|' .. wave)
end

-- Ask for a child's end by a message. One that has not been made yet, as far as is known here, is made as cancelled: `n` grows
-- so that whoever delivers its start now does not settle this.
local function stop_child(jid, wave, child)
  local start = T .. 'ob:' .. child .. '.start'
  if call('EXISTS', start) == 1 then
    call('HSET', start, 'x', '1')
    call('HINCRBY', start, 'n', 1)
    call('ZADD', T .. 'tm', now, 'o|' .. child .. '.start')
  else
    send_soon(child .. '.cancel', '{"k":"cancel","c":"' .. child .. '","p":"' .. jid .. '|' .. wave .. '"}')
  end
end
