-- Applies each of several effects to its task's hash, all in one atomic step; one that ends the task removes its inputs. It knows no state: which are
-- allowed comes with the call, from the table in task.ts, as one of a few rules that the effects of a call share. It writes before it publishes, so that
-- whoever is told finds what it was told of. A second run of a terminal change does nothing, since its state refuses; nor does the same claim count
-- twice. What one fails by is its own answer and harms no other. (`allows`, `applied` and `eventOf` in record.ts say the same for a store in memory.)
--
-- Takes the two channels, the rules, the tasks' texts, and the ends of those that end. A rule is a line; a task is three: its own, its submission, and what
-- is told of its end (numbers and names, JSON, base64: none has a line break in it). So few arguments, since each costs more than what is in it; and so few
-- texts are made of them, since Lua reads each that it makes byte by byte, which is why an end, of megabytes perhaps, is an argument. Returns for each task
-- the number of attempts, false if the present state refuses, or an error.
--
-- The names in capitals are put before it: see redis-transition.ts.

local RULE = '^' .. string.rep('([^|]*)|', 11) .. '(.*)$'

local changes, stops, rules = {}, {}, {}
for line in string.gmatch(ARGV[3], '[^\n]+') do
  local rule, allowed = { from = {} }
  allowed, rule.state, rule.ttl, rule.attemptsMax, rule.stamp, rule.ends, rule.recreates, rule.published, rule.stops,
    rule.unfinished, rule.finished, rule.owner = string.match(line, RULE)
  for state in string.gmatch(allowed, '%S+') do rule.from[state] = true end
  rule.attemptsMax = tonumber(rule.attemptsMax)
  rules[#rules + 1] = rule
end

-- Redis 7.0 writes numbers by way of floats, which takes 2,000 instructions more for each.
local function digits(number) return string.format('%d', number) end

-- Counts what a call's changes add to and take from buckets, and writes that once for each bucket and owner. A change that brings no submission along
-- has its owner read from the record. What was never counted (a record of an older release) does not make a bucket negative.
local stored = {}
local function count(bucket, owner, bytes)
  local owners = stored[bucket]
  if not owners then
    owners = {}
    stored[bucket] = owners
  end
  owners[owner] = (owners[owner] or 0) + bytes
end

local function allocated(bytes)
  if bytes == 0 then return 0 end
  local size = bytes + HEADER_BYTES
  local _, exponent = math.frexp(size)
  local step = 2 ^ (exponent - 3)
  return math.ceil(size / step) * step
end

local function countChange(rule, key, isNew, inputsBytes, endBytes)
  local owner, unfinished = rule.owner, rule.unfinished
  if owner == '' then
    local submission, submittedAt = redis.call('HGET', key, 'submission') or '', nil
    owner, submittedAt = string.match(submission, '"owner":(".-"),"model":.*"submittedAt":(%d+)')
    if not owner then return end
    unfinished = digits(math.ceil((submittedAt + UNFINISHED_TTL_MS) / UNFINISHED_WIDTH_MS) * UNFINISHED_WIDTH_MS)
  end
  if rule.finished ~= '' then
    count(rule.finished, owner, RECORD_BYTES + allocated(endBytes))
    if not isNew then count(unfinished, owner, -RECORD_BYTES) end
  elseif isNew then
    count(unfinished, owner, RECORD_BYTES)
  end
  if inputsBytes > 0 then count(unfinished, owner, -allocated(inputsBytes)) end
end

local function writeCounts()
  for bucket, owners in pairs(stored) do
    local key = BUCKETS .. ':' .. bucket
    for owner, bytes in pairs(owners) do
      local sum = redis.call('HINCRBY', key, owner, digits(bytes))
      if sum < 0 then
        redis.call('HDEL', key, owner)
      elseif sum == bytes then
        redis.call('PEXPIREAT', key, bucket)
        redis.call('ZADD', BUCKETS, bucket, bucket)
        redis.call('PEXPIRE', BUCKETS, INDEX_TTL_MS)
      end
    end
  end
end
-- What is told of an end is put together with all the rest, and only once.
local function collect(events, event, told)
  local n = #events
  events[n + 1], events[n + 2], n = n == 0 and '[' or ',', event, n + 2
  if told then events[n + 1], events[n + 2], events[n + 3], n = ',"end":"', told, '"', n + 3 end
  events[n + 1] = '}'
end

local function publish(channel, events)
  if #events == 0 then return end
  events[#events + 1] = ']'
  redis.call('PUBLISH', channel, table.concat(events))
end

local function transition(key, inputs, line, submission, told)
  local index, attemptsBefore, claim, undone, stamp, place, at =
    string.match(line, '^(%d+) (%d+) (%S*) (%S*) (%S*) (%d*) (%S*)$')
  local rule = rules[tonumber(index)]

  local kept = redis.call('HMGET', key, 'state', 'attempts', 'claim', 'revision', 'startedAt')
  local state, attempts, lastClaim = kept[1] or 'ABSENT', tonumber(kept[2] or 0), kept[3] or ''
  local again = state == 'RUNNING' and claim ~= '' and claim == lastClaim
  if not again and not rule.from[state] then return false end
  if rule.attemptsMax and attempts > rule.attemptsMax then return false end
  if state == 'RUNNING' and undone ~= '' and undone ~= lastClaim then return false end
  local isNew = state == 'ABSENT'
  if isNew and rule.recreates ~= '' and submission == '' then return NO_RECORD end

  if undone ~= '' and undone == lastClaim then attempts, lastClaim = attempts - 1, '' end
  attempts = math.max(attempts, tonumber(attemptsBefore))
  if claim ~= '' and claim ~= lastClaim then attempts, lastClaim = attempts + 1, claim end
  local revision, tries = digits((kept[4] or 0) + 1), digits(attempts)
  local fields, n = { 'state', rule.state, 'attempts', tries, 'revision', revision }, 6
  if lastClaim ~= (kept[3] or '') then fields[n + 1], fields[n + 2], n = 'claim', lastClaim, n + 2 end
  if rule.stamp ~= '' then fields[n + 1], fields[n + 2], n = rule.stamp, stamp, n + 2 end
  if place ~= '' then fields[n + 1], fields[n + 2], n = 'end', ARGV[4 + place], n + 2 end
  if isNew and submission ~= '' then fields[n + 1], fields[n + 2] = 'submission', submission end
  local inputsBytes, endBytes = 0, place ~= '' and #ARGV[4 + place] or 0
  if rule.ends ~= '' then inputsBytes = redis.call('STRLEN', inputs) end
  -- Redis that is out of memory lets a script write only after a command that takes none: what goes on with an accepted task passes, what is new or large does not.
  if isNew or endBytes > SMALL_END_BYTES then
    redis.call('HSET', key, unpack(fields))
    redis.call('PEXPIRE', key, rule.ttl)
  else
    redis.call('PEXPIRE', key, rule.ttl)
    redis.call('HSET', key, unpack(fields))
  end
  if inputsBytes > 0 then redis.call('UNLINK', inputs) elseif rule.ends == '' and not isNew then redis.call('PEXPIRE', inputs, rule.ttl) end
  if isNew or rule.ends ~= '' then countChange(rule, key, isNew, inputsBytes, endBytes) end
  if rule.published ~= '' then
    local event = '{"id":"' .. string.match(key, '{(.*)}') .. '","state":"' .. rule.state .. '","at":' .. at
      .. ',"attempts":' .. tries .. ',"revision":' .. revision
    if told and (kept[5] or '') ~= '' then event = event .. ',"startedAt":' .. kept[5] end
    collect(changes, event, told)
    if rule.stops ~= '' then collect(stops, event, told) end
  end
  return attempts
end

local texts, place = ARGV[4], 1
-- Looked for by a pattern, its end would be compared byte by byte.
local function nextLine()
  local from, stop = place, string.find(texts, '\n', place, true)
  place = stop + 1
  return string.sub(texts, from, stop - 1)
end
local function nextTold()
  local isTold = string.byte(texts, place) == string.byte('=')
  if isTold then place = place + 1 end
  local told = nextLine()
  return isTold and told
end

local answers = {}
for i = 1, #KEYS, 2 do
  local line, submission, told = nextLine(), nextLine(), nextTold()
  local done, answer = pcall(transition, KEYS[i], KEYS[i + 1], line, submission, told)
  if not done and type(answer) == 'string' then answer = redis.error_reply(answer) end
  answers[#answers + 1] = answer
end
writeCounts()
publish(ARGV[1], changes)
publish(ARGV[2], stops)
return answers
