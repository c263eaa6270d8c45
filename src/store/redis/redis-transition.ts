import type { Redis, Result } from 'ioredis';
import type { Effect } from '../../task/record.ts';
import { isStop, type Submission } from '../../task/task.ts';
import { SMALL_END_BYTES } from '../room.ts';
import { channelOf } from './redis-channels.ts';
import { inputsKeyOf, keyOf } from './redis-keys.ts';
import { bucketOf, COUNTING, ownerText, unfinishedBucketOf } from './redis-usage.ts';

/** An effect, and the task that it is to be applied to. */
export interface Transition {
  id: string;
  effect: Effect;
}

/** What is answered where there is no record, and none was brought along. */
const NO_RECORD = -1;

/**
 * Applies each of several effects to its task's hash, all in one atomic step; one that ends the task removes its inputs. It knows no state: which are
 * allowed comes with the call, from the table in task.ts, as one of a few rules that the effects of a call share. It writes before it announces, so that
 * whoever is told finds what it was told of. A second run of a terminal change does nothing, since its state refuses; nor does the same claim count
 * twice. What one fails by is its own answer and harms no other. (`allows`, `applied` and `eventOf` in record.ts say the same for a store in memory.)
 *
 * Takes the two channels, the rules, the tasks' texts, and the ends of those that end. A rule is a line; a task is three: its own, its submission, and what
 * is told of its end (numbers and names, JSON, base64: none has a line break in it). So few arguments, since each costs more than what is in it; and so few
 * texts are made of them, since Lua reads each that it makes byte by byte, which is why an end, of megabytes perhaps, is an argument. Returns for each task
 * the number of attempts, false if the present state refuses, or an error.
 */
const TRANSITIONS = `
local changes, stops, rules = {}, {}, {}
for line in string.gmatch(ARGV[3], '[^\\n]+') do
  local rule, allowed = { from = {} }
  allowed, rule.state, rule.ttl, rule.attemptsMax, rule.stamp, rule.ends, rule.recreates, rule.announced, rule.stops,
    rule.unfinished, rule.finished, rule.owner = string.match(line, '^${'([^|]*)|'.repeat(11)}(.*)$')
  for state in string.gmatch(allowed, '%S+') do rule.from[state] = true end
  rule.attemptsMax = tonumber(rule.attemptsMax)
  rules[#rules + 1] = rule
end

-- Redis 7.0 writes numbers by way of floats, which takes 2,000 instructions more for each.
local function digits(number) return string.format('%d', number) end

${COUNTING}
-- What is told of an end is put together with all the rest, and only once.
local function announce(events, event, told)
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
  if isNew and rule.recreates ~= '' and submission == '' then return ${NO_RECORD} end

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
  if isNew or endBytes > ${SMALL_END_BYTES} then
    redis.call('HSET', key, unpack(fields))
    redis.call('PEXPIRE', key, rule.ttl)
  else
    redis.call('PEXPIRE', key, rule.ttl)
    redis.call('HSET', key, unpack(fields))
  end
  if inputsBytes > 0 then redis.call('UNLINK', inputs) elseif rule.ends == '' and not isNew then redis.call('PEXPIRE', inputs, rule.ttl) end
  if isNew or rule.ends ~= '' then countChange(rule, key, isNew, inputsBytes, endBytes) end
  if rule.announced ~= '' then
    local event = '{"id":"' .. string.match(key, '{(.*)}') .. '","state":"' .. rule.state .. '","at":' .. at
      .. ',"attempts":' .. tries .. ',"revision":' .. revision
    if told and (kept[5] or '') ~= '' then event = event .. ',"startedAt":' .. kept[5] end
    announce(changes, event, told)
    if rule.stops ~= '' then announce(stops, event, told) end
  end
  return attempts
end

local texts, place = ARGV[4], 1
-- Looked for by a pattern, its end would be compared byte by byte.
local function nextLine()
  local from, stop = place, string.find(texts, '\\n', place, true)
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
`;

type Answer = number | null | Error;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    foretellTransitions(keys: number, ...args: (string | number | Buffer)[]): Result<readonly Answer[], Context>;
  }
}

export function defineTransitions(redis: Redis): void {
  redis.defineCommand('foretellTransitions', { lua: TRANSITIONS });
}

/**
 * Applies effects; for each the number of attempts, null if the present state refuses, or what Redis fails by. Each is one step; those whose record is missing
 * are applied in a second one.
 */
export async function applyTransitions(redis: Redis, transitions: readonly Transition[]): Promise<readonly Answer[]> {
  // Submissions are sent again only where they are missed: a store has mostly kept them, and they are most of what a call has to carry.
  const answers = await call(redis, transitions, ({ effect }) => effect.from.every((state) => state === 'ABSENT'));
  const missed = transitions.filter((_, i) => answers[i] === NO_RECORD);
  if (missed.length === 0) return answers;
  const again = [...(await call(redis, missed, () => true))];
  return answers.map((answer) => (answer === NO_RECORD ? (again.shift() ?? null) : answer));
}

function call(redis: Redis, transitions: readonly Transition[], isBrought: (transition: Transition) => boolean) {
  const rules = new Map<string, number>();
  const keys: string[] = [];
  const ends: Buffer[] = [];
  const now = Date.now();
  let lines = '';
  let index = 0;
  let last: Effect | undefined;
  for (const transition of transitions) {
    const { id, effect } = transition;
    // Most of a call are like the one before.
    if (!last || !isRuledAlike(effect, last)) {
      const rule = ruleOf(effect, now);
      index = rules.get(rule) ?? rules.size + 1;
      rules.set(rule, index);
    }
    last = effect;
    keys.push(keyOf(id), inputsKeyOf(id));
    const submission = effect.submission && isBrought(transition) ? JSON.stringify(effect.submission) : '';
    if (effect.end) ends.push(effect.end);
    lines += `${index} ${lineOf(effect, ends.length)}\n${submission}\n${toldOf(effect)}\n`;
  }
  const channels = [channelOf(redis, 'changes'), channelOf(redis, 'stops')];
  const ruleLines = [...rules.keys()].join('\n');
  return redis.foretellTransitions(keys.length, ...keys, ...channels, ruleLines, lines, ...ends);
}

/** What many effects have in common. */
function ruleOf(effect: Effect, now: number): string {
  const { from, state, ttlMs, attemptsMax, startedAt, completedAt, ends, submission, announce } = effect;
  const stamp = startedAt !== undefined ? 'startedAt' : completedAt !== undefined ? 'completedAt' : '';
  const marks = `${mark(ends)}|${mark(submission)}|${mark(announce)}|${mark(isStop(state))}`;
  return `${from.join(' ')}|${state}|${ttlMs}|${attemptsMax ?? ''}|${stamp}|${marks}|${countedOf(effect, now)}`;
}

/** Where the task counts before and after, and whose it is, as far as the change says. */
function countedOf({ submission, completedAt, ttlMs }: Effect, now: number): string {
  const unfinished = submission ? unfinishedBucketOf(submission) : '';
  const finished = completedAt === undefined ? '' : bucketOf(now, ttlMs);
  return `${unfinished}|${finished}|${submission ? ownerText(submission.owner) : ''}`;
}

/** Whether `ruleOf` says the same of both. */
function isRuledAlike(one: Effect, other: Effect): boolean {
  return (
    one.from === other.from &&
    one.state === other.state &&
    one.ttlMs === other.ttlMs &&
    one.attemptsMax === other.attemptsMax &&
    (one.startedAt === undefined) === (other.startedAt === undefined) &&
    (one.completedAt === undefined) === (other.completedAt === undefined) &&
    one.ends === other.ends &&
    (one.announce === undefined) === (other.announce === undefined) &&
    isCountedAlike(one.submission, other.submission)
  );
}

function isCountedAlike(one: Submission | undefined, other: Submission | undefined): boolean {
  if (!one || !other) return one === other;
  return one.owner === other.owner && unfinishedBucketOf(one) === unfinishedBucketOf(other);
}

function mark(value: unknown): string {
  return value ? '1' : '';
}

/** What is an effect's own, apart by spaces: none of it has any. Of an end the place among those of the call. */
function lineOf(effect: Effect, placeOfEnd: number): string {
  const { attemptsBefore, claim = '', undone = '', startedAt, completedAt, end, announce } = effect;
  const place = end ? placeOfEnd : '';
  return `${attemptsBefore} ${claim} ${undone} ${startedAt ?? completedAt ?? ''} ${place} ${announce?.at ?? ''}`;
}

/** What is told of an end, marked, since it may be empty. */
function toldOf({ announce, end }: Effect): string {
  return announce?.withEnd ? `=${end?.toString('base64') ?? ''}` : '';
}
