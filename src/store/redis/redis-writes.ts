import { setTimeout as sleep } from 'node:timers/promises';
import { gathering } from '../../async/gather.ts';
import { StoreFull } from '../../errors.ts';
import { faultOf, type RedisConnection } from '../../redis/connection.ts';
import type { RedisLink } from '../../redis/link.ts';
import { creationOf, type Effect, effectOf } from '../../task/record.ts';
import type { Submission } from '../../task/task.ts';
import { allocatedBytes, SMALL_END_BYTES, type StoreRoom } from '../room.ts';
import type { TaskStore } from '../store.ts';
import { inputsKeyOf } from './redis-keys.ts';
import { LARGE_BYTES, TASKS_MAX } from './redis-limits.ts';
import { applyTransitions, defineTransitions, type Transition } from './redis-transition.ts';

/** For how long, and after what pauses, what meets a Redis without memory is tried again. */
const SHORT_MS = 1_500;
const SHORT_PAUSE_MS = 100;

export interface RedisWritesOptions {
  link: RedisLink;
  room: StoreRoom;
  resultTtlMs: number;
}

/** The changes of tasks: gathered, each by the connection that its size asks for, and as far as there is room. */
export function createRedisWrites({
  link,
  room,
  resultTtlMs,
}: RedisWritesOptions): Pick<TaskStore, 'create' | 'transition'> {
  const { commands } = link;
  const apply = createApply(link);

  /** Stores a result that takes more than the record of its task was counted for. */
  async function applyInRoom(owner: string, id: string, effect: Effect): Promise<number | undefined> {
    const bytes = allocatedBytes(effect.end?.length ?? 0);
    const release = await room.take(owner, bytes).catch(async (error: unknown) => {
      // The end of the task makes room itself: its inputs go in the same step.
      const inputsBytes = await commands.run((redis) => redis.strlen(inputsKeyOf(id)));
      if (inputsBytes === 0) throw error;
      return room.take(owner, Math.max(0, bytes - allocatedBytes(inputsBytes)));
    });
    try {
      const again = () => apply(id, effect);
      return await again().catch((error: unknown) => whereMemoryIsShort(again, error));
    } finally {
      release();
    }
  }

  /** Creations of which some met a Redis without memory: those are tried again, and if they have no room then, nothing is left of the others. */
  async function createInTime(
    submissions: readonly Submission[],
    creations: readonly Promise<number | undefined>[],
    create: (submission: Submission) => Promise<number | undefined>,
  ): Promise<void> {
    const settled = await Promise.allSettled(
      creations.map((creation, i) => {
        const submission = submissions[i];
        const again = () => (submission ? create(submission) : creation);
        return creation.catch((error: unknown) => whereMemoryIsShort(again, error));
      }),
    );
    const refused = settled.find(({ status }) => status === 'rejected');
    if (refused?.status !== 'rejected') return;
    const isNew = (_: Submission, i: number) => settled[i]?.status === 'fulfilled' && settled[i].value !== undefined;
    const effect = effectOf({ to: 'WITHDRAWN', at: Date.now() }, resultTtlMs);
    await Promise.allSettled(submissions.filter(isNew).map(({ id }) => apply(id, effect)));
    throw refused.reason;
  }

  return {
    async create(submissions) {
      const create = (each: Submission) => apply(each.id, creationOf(each));
      const creations = submissions.map(create);
      try {
        await Promise.all(creations);
      } catch (error) {
        if (!(error instanceof StoreFull)) throw error;
        await createInTime(submissions, creations, create);
      }
    },
    transition(id, change) {
      const effect = effectOf(change, resultTtlMs);
      const isLarge = change.to === 'SUCCEEDED' && (effect.end?.length ?? 0) > SMALL_END_BYTES;
      return isLarge ? applyInRoom(change.submission.owner, id, effect) : apply(id, effect);
    },
  };
}

/** Applies one effect; resolves with the attempts after it, or `undefined` if the present state refuses. */
function createApply({ commands, large }: RedisLink): (id: string, effect: Effect) => Promise<number | undefined> {
  for (const { redis } of [commands, large]) defineTransitions(redis);
  const applyOn = async (connection: RedisConnection, transitions: readonly Transition[]) => {
    const answers = await connection.run((redis) => applyTransitions(redis, transitions));
    return answers.map((answer) => (answer instanceof Error ? faultOf(answer) : (answer ?? undefined)));
  };
  const gatherOn = (connection: RedisConnection, max: number) =>
    gathering<Transition, number | undefined>({ ask: (transitions) => applyOn(connection, transitions), max });
  const applySmall = gatherOn(commands, TASKS_MAX);
  // Apart from those that pass when Redis is out of memory: what one call may write is decided by its first change.
  const applyMedium = gatherOn(commands, TASKS_MAX);
  const applyLarge = gatherOn(large, 1);
  return (id, effect) => {
    const bytes = effect.end?.length ?? 0;
    return (bytes <= SMALL_END_BYTES ? applySmall : bytes <= LARGE_BYTES ? applyMedium : applyLarge)({ id, effect });
  };
}

/**
 * For what the books have room for: connections' buffers may take all that Redis has for a moment, and are gone within a second or so. What has not found
 * room by then is refused.
 */
async function whereMemoryIsShort<T>(again: () => Promise<T>, first: unknown): Promise<T> {
  let error = first;
  const end = performance.now() + SHORT_MS;
  while (error instanceof StoreFull && performance.now() < end) {
    await sleep(SHORT_PAUSE_MS);
    try {
      return await again();
    } catch (next) {
      error = next;
    }
  }
  throw error;
}
