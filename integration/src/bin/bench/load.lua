-- The load: sends the prepared requests of a file in turn. In each, 16 times `@` is replaced by a number that is
-- never used again, in digits that base64 has, so that no two writes are the same.
--
-- wrk ... URL -- FILE NONCE START [explain]

local MARK = string.rep("@", 16)
local records, position, count, nonce = {}, 0, 0, ""

local function pieces(text)
   local list, from = {}, 1
   while true do
      local at = text:find(MARK, from, true)
      if not at then break end
      list[#list + 1] = text:sub(from, at - 1)
      list[#list + 1] = MARK
      from = at + #MARK
   end
   if from == 1 then return text end
   list[#list + 1] = text:sub(from)
   return list
end

function init(args)
   local file = assert(io.open(args[1], "rb"))
   while true do
      local length = file:read("*l")
      if not length then break end
      records[#records + 1] = pieces(file:read(tonumber(length)))
   end
   file:close()
   nonce, position = args[2], tonumber(args[3])
   if args[4] == "explain" then
      local shown = 0
      -- Only then: with it, wrk hands each answer to Lua.
      response = function(status, _, body)
         if (status < 200 or status > 299) and shown < 3 then
            shown = shown + 1
            io.stderr:write(status, " ", body:gsub("%s+", " "):sub(1, 400), "\n")
         end
      end
   end
end

function request()
   position = position % #records + 1
   local record = records[position]
   if type(record) == "string" then return record end
   for place = 2, #record, 2 do
      count = count + 1
      record[place] = string.format("%s%012x", nonce, count)
   end
   return table.concat(record)
end

function done(summary, latency, _)
   local errors = summary.errors
   io.write(string.format(
      '\nRESULT {"requests":%d,"microseconds":%d,"bytes":%d,"p50":%d,"p99":%d,"longest":%d,' ..
      '"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}\n',
      summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99), latency.max,
      errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
