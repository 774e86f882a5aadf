-- Questions to people: the job's field `ask` says that it asks one. It holds the timer of the next escalation, or `-`.

-- The next escalation is due in `ms`, or there is none ('-'). `old` is the mark as it was.
local function set_escalation(jid, wave, ms, old)
  if old and old ~= '-' then call('ZREM', T .. 'tm', old) end
  local mark = '-'
  if ms ~= '-' then
    mark = 'q|' .. jid .. '|' .. wave
    call('ZADD', T .. 'tm', now + tonumber(ms), mark)
  end
  call('HSET', T .. 'j:' .. jid, 'ask', mark)
end

local function open_question(jid, flow, wave, ms)
  call('ZADD', T .. 'xa:' .. flow, now, jid)
  set_escalation(jid, wave, ms)
end

-- `mark` is the job's field `ask`; nil or '' where it asked nothing.
local function close_question(jid, flow, mark)
  if not mark or mark == '' then return end
  call('ZREM', T .. 'xa:' .. flow, jid)
  if mark ~= '-' then call('ZREM', T .. 'tm', mark) end
  call('HDEL', T .. 'j:' .. jid, 'ask', 'qs')
end
