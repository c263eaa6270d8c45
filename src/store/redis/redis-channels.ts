import type { Redis } from 'ioredis';
import { z } from 'zod';
import { eventFrom } from '../../task/record.ts';
import { TASK_STATES, type TaskEvent } from '../../task/task.ts';

/** All changes; or, for a process that makes most of them itself, those alone by which a task ends without a result. */
export type SubscribedTo = 'changes' | 'stops';

/**
 * Where changes are published, each message a JSON array of events. Redis's channels are the same in all of its databases, and so are the ids that idempotency
 * keys give: each database has channels of its own, or the end of another's task would be told as that of ours.
 */
export function channelOf(redis: Redis, subscribedTo: SubscribedTo): string {
  const { db = 0 } = redis.options;
  const channel = db === 0 ? 'foretell:tasks' : `foretell:tasks:${db}`;
  return subscribedTo === 'changes' ? channel : `${channel}:stopped`;
}

const eventsSchema = z.array(
  z.object({
    id: z.string(),
    state: z.enum(TASK_STATES),
    attempts: z.int().nonnegative(),
    revision: z.int().nonnegative(),
    at: z.number(),
    /** Of a task that has ended: what its record says of how, in base64; empty where there is no more to say, absent where it is too long. */
    end: z.string().optional(),
    /** Beside `end`: when the run began that the task ended by. */
    startedAt: z.number().optional(),
  }),
);

/** Events of the tasks that somebody waits for; each process hears of all. `undefined` for a message that is none of ours. */
export function parseEvents(text: string, isWanted: (id: unknown) => boolean): TaskEvent[] | undefined {
  try {
    const events: unknown = JSON.parse(text);
    const isForNobody = (event: unknown) =>
      typeof event === 'object' && event !== null && 'id' in event && !isWanted(event.id);
    return eventsSchema
      .parse(Array.isArray(events) ? events.filter((event) => !isForNobody(event)) : events)
      .map(eventIn);
  } catch {
    return undefined;
  }
}

function eventIn({ state, end, startedAt, ...changed }: z.infer<typeof eventsSchema>[number]): TaskEvent {
  const isPublished = end !== undefined;
  return eventFrom(
    changed,
    state,
    isPublished ? { startedAt, end: end ? Buffer.from(end, 'base64') : undefined } : undefined,
  );
}
