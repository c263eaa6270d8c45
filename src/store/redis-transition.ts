import type { Redis, Result } from 'ioredis';
import type { Effect } from './record.ts';
import { inputsKeyOf, keyOf } from './redis-keys.ts';

/** Where changes are announced: each message a JSON array of events. */
export const CHANNEL = 'foretell:tasks';

/** An effect, and the task that it is to be applied to. */
export interface Transition {
  id: string;
  effect: Effect;
}

/**
 * Applies each of several effects to its task's hash, all in one atomic step; one that ends the task removes its inputs. It knows no state: which are
 * allowed comes with the call, from the table in task.ts. It writes before it announces, so that whoever is told finds what it was told of, and
 * a second run of a terminal change does nothing, since its state refuses; nor does the same claim count twice. What one fails by is its own
 * answer and harms no other. (`allows` and `applied` in record.ts say the same for a store in memory.)
 *
 * Returns for each the number of attempts, false if the present state refuses, or an error.
 */
const TRANSITIONS = `
local events = {}

local function transition(key, inputs, first, last)
  local allowed, ttl, submission, attemptsBefore, attemptsMax, claim, undone, ends, event = unpack(ARGV, first, first + 8)

  local kept = redis.call('HMGET', key, 'state', 'attempts', 'claim', 'revision')
  local state, attempts, lastClaim = kept[1] or 'ABSENT', tonumber(kept[2] or 0), kept[3] or ''
  local again = state == 'RUNNING' and claim ~= '' and claim == lastClaim
  if not again and not string.find(allowed, ' ' .. state .. ' ', 1, true) then return false end
  if attemptsMax ~= '' and attempts > tonumber(attemptsMax) then return false end
  if state == 'RUNNING' and undone ~= '' and undone ~= lastClaim then return false end

  if undone ~= '' and undone == lastClaim then attempts, lastClaim = attempts - 1, '' end
  attempts = math.max(attempts, tonumber(attemptsBefore))
  if claim ~= '' and claim ~= lastClaim then attempts, lastClaim = attempts + 1, claim end
  local revision = (kept[4] or 0) + 1
  local fields = { 'attempts', attempts, 'revision', revision, 'claim', lastClaim, unpack(ARGV, first + 9, last) }
  if state == 'ABSENT' and submission ~= '' then
    fields[#fields + 1] = 'submission'
    fields[#fields + 1] = submission
  end
  redis.call('HSET', key, unpack(fields))
  redis.call('PEXPIRE', key, ttl)
  if ends ~= '' then redis.call('UNLINK', inputs) elseif state ~= 'ABSENT' then redis.call('PEXPIRE', inputs, ttl) end
  if event ~= '' then events[#events + 1] = event .. attempts .. ',"revision":' .. revision .. '}' end
  return attempts
end

local answers, at = {}, 2
for i = 1, #KEYS, 2 do
  local last = at + tonumber(ARGV[at])
  local done, answer = pcall(transition, KEYS[i], KEYS[i + 1], at + 1, last)
  if not done and type(answer) == 'string' then answer = redis.error_reply(answer) end
  answers[#answers + 1] = answer
  at = last + 1
end
if #events > 0 then redis.call('PUBLISH', ARGV[1], '[' .. table.concat(events, ',') .. ']') end
return answers
`;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    foretellTransitions(
      keys: number,
      ...args: (string | number | Buffer)[]
    ): Result<readonly (number | null | Error)[], Context>;
  }
}

export function defineTransitions(redis: Redis): void {
  redis.defineCommand('foretellTransitions', { lua: TRANSITIONS });
}

/** Applies effects; for each the number of attempts, null if the present state refuses, or what Redis fails by. */
export function applyTransitions(
  redis: Redis,
  transitions: readonly Transition[],
): Promise<readonly (number | null | Error)[]> {
  const keys = transitions.flatMap(({ id }) => [keyOf(id), inputsKeyOf(id)]);
  const args = transitions.flatMap((transition) => {
    const own = argsOf(transition);
    return [own.length, ...own];
  });
  return redis.foretellTransitions(keys.length, ...keys, CHANNEL, ...args);
}

function argsOf({ id, effect }: Transition): (string | number | Buffer)[] {
  const { from, ttlMs, submission, attemptsBefore, attemptsMax, claim, undone, ends, announce } = effect;
  const args: (string | number | Buffer)[] = [
    ` ${from.join(' ')} `,
    ttlMs,
    submission ? JSON.stringify(submission) : '',
    attemptsBefore,
    attemptsMax ?? '',
    claim ?? '',
    undone ?? '',
    ends ? '1' : '',
    // Redis adds the numbers of attempts and changes, which only it knows, and the closing brace.
    announce ? `${JSON.stringify({ id, ...announce }).slice(0, -1)},"attempts":` : '',
    'state',
    effect.state,
  ];
  if (effect.startedAt !== undefined) args.push('startedAt', effect.startedAt ?? '');
  if (effect.completedAt !== undefined) args.push('completedAt', effect.completedAt);
  if (effect.end) args.push('end', effect.end);
  return args;
}
