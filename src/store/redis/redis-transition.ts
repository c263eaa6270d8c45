import { readFileSync } from 'node:fs';
import type { Redis, Result } from 'ioredis';
import { type Effect, UNFINISHED_TTL_MS } from '../../task/record.ts';
import { isStop, type Submission } from '../../task/task.ts';
import { HEADER_BYTES, RECORD_BYTES, SMALL_END_BYTES } from '../room.ts';
import { channelOf } from './redis-channels.ts';
import { inputsKeyOf, taskKeyOf } from './redis-keys.ts';
import { BUCKETS, bucketOf, INDEX_TTL_MS, ownerText, UNFINISHED_WIDTH_MS, unfinishedBucketOf } from './redis-usage.ts';

/** An effect, and the task that it is to be applied to. */
export interface Transition {
  id: string;
  effect: Effect;
}

/** What is answered where there is no record, and none was brought along. */
const NO_RECORD = -1;

/** What the script knows by the same names. */
const SHARED = {
  NO_RECORD,
  SMALL_END_BYTES,
  HEADER_BYTES,
  RECORD_BYTES,
  BUCKETS,
  INDEX_TTL_MS,
  UNFINISHED_TTL_MS,
  UNFINISHED_WIDTH_MS,
};

const SCRIPT = [
  ...Object.entries(SHARED).map(([name, value]) => `local ${name} = ${JSON.stringify(value)}`),
  readFileSync(new URL('transition.lua', import.meta.url), 'utf8'),
].join('\n');

type Answer = number | null | Error;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    foretellTransitions(keys: number, ...args: (string | number | Buffer)[]): Result<readonly Answer[], Context>;
  }
}

export function defineTransitions(redis: Redis): void {
  redis.defineCommand('foretellTransitions', { lua: SCRIPT });
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
    keys.push(taskKeyOf(id), inputsKeyOf(id));
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
  const { from, state, ttlMs, attemptsMax, startedAt, completedAt, ends, submission, publish } = effect;
  const stamp = startedAt !== undefined ? 'startedAt' : completedAt !== undefined ? 'completedAt' : '';
  const marks = `${mark(ends)}|${mark(submission)}|${mark(publish)}|${mark(isStop(state))}`;
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
    (one.publish === undefined) === (other.publish === undefined) &&
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
  const { attemptsBefore, claim = '', undone = '', startedAt, completedAt, end, publish } = effect;
  const place = end ? placeOfEnd : '';
  return `${attemptsBefore} ${claim} ${undone} ${startedAt ?? completedAt ?? ''} ${place} ${publish?.at ?? ''}`;
}

/** What is told of an end, marked, since it may be empty. */
function toldOf({ publish, end }: Effect): string {
  return publish?.withEnd ? `=${end?.toString('base64') ?? ''}` : '';
}
