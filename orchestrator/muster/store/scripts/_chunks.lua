-- The chunks of a log from the one that holds line `start`, until one of the bounds is reached.
local function read_chunks(log, start, last, chunks_max, bytes_max)
  local chunks, bytes = {}, 0
  if start > last then return chunks end
  local holds = call('ZRANGE', log, start, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 1, 'WITHSCORES')
  local from = holds[2] or start
  while #chunks < chunks_max and bytes < bytes_max do
    local some = call('ZRANGE', log, from, '+inf', 'BYSCORE', 'LIMIT', #chunks, 8)
    for _, chunk in ipairs(some) do
      chunks[#chunks + 1] = chunk
      bytes = bytes + #chunk
    end
    if #some < 8 then break end
  end
  return chunks
end
