import type { Redis, Result } from 'ioredis';
import type { Effect } from './record.ts';

/** Fields of a task's hash that are read, in their order; one more, `claim`, is the script's own. */
export const FIELDS = ['state', 'submission', 'attempts', 'revision', 'startedAt', 'completedAt', 'end'] as const;

/**
 * Applies one effect to one task's hash, as one atomic step; one that ends the task removes its inputs. It knows no state: which are allowed comes with the call, from
 * the table in task.ts. It writes before it announces, so that whoever is told finds what it was told of, and a second run
 * of a terminal change does nothing, since its state refuses; nor does the same claim count twice. (`allows` and `applied` in
 * record.ts say the same for a store in memory.)
 *
 * Returns the number of attempts, or false if the present state refuses.
 */
const TRANSITION = `
local key, inputs = KEYS[1], KEYS[2]
local allowed, ttl, submission, attemptsBefore, attemptsMax, claim, undone, ends, channel, event =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]

local kept = redis.call('HMGET', key, 'state', 'attempts', 'claim')
local state = kept[1] or 'ABSENT'
local attempts = tonumber(kept[2] or 0)
local again = state == 'RUNNING' and claim ~= '' and claim == kept[3]
if not again and not string.find(allowed, ' ' .. state .. ' ', 1, true) then return false end
if attemptsMax ~= '' and attempts > tonumber(attemptsMax) then return false end
if state == 'RUNNING' and undone ~= '' and undone ~= kept[3] then return false end

if undone ~= '' and undone == kept[3] then
  attempts = attempts - 1
  redis.call('HDEL', key, 'claim')
end
attempts = math.max(attempts, tonumber(attemptsBefore))
if claim ~= '' and claim ~= kept[3] then
  attempts = attempts + 1
  redis.call('HSET', key, 'claim', claim)
end
redis.call('HSET', key, 'attempts', attempts, unpack(ARGV, 11))
local revision = redis.call('HINCRBY', key, 'revision', 1)
if submission ~= '' then redis.call('HSETNX', key, 'submission', submission) end
redis.call('PEXPIRE', key, ttl)
if ends ~= '' then redis.call('UNLINK', inputs) else redis.call('PEXPIRE', inputs, ttl) end
if channel ~= '' then redis.call('PUBLISH', channel, event .. attempts .. ',"revision":' .. revision .. '}') end
return attempts
`;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    foretellTransition(
      key: string,
      inputsKey: string,
      ...args: (string | number | Buffer)[]
    ): Result<number | null, Context>;
  }
}

export function defineTransition(redis: Redis): void {
  redis.defineCommand('foretellTransition', { lua: TRANSITION, numberOfKeys: 2 });
}

/** The arguments of `foretellTransition` for an effect on a task. */
export function transitionArgs(id: string, effect: Effect, channel: string): (string | number | Buffer)[] {
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
    announce ? channel : '',
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
