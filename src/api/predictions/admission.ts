import { createReading } from '../../async/reading.ts';
import { within } from '../../async/within.ts';
import type { Broker } from '../../broker/broker.ts';
import { LANES, predictionQueue } from '../../broker/topology.ts';
import { QueueFull } from '../../errors.ts';
import type { ServedModel } from '../../models/served-model.ts';
import { createDrainRate, type DrainRate } from './drain-rate.ts';

/** How often a model's queues are looked at, and only while predictions are submitted for it. */
const READING_EVERY_MS = 250;

/** A figure this old says nothing about a queue that others fill as well. */
const READING_OLD_MS = 3_000;

/** A submission waits no longer for a figure: a refusal has to come within a second. */
const READING_WAIT_MS = 500;

/** When to come back: where nothing is known of how fast the queue drains, and the least and the most that is said. */
const RETRY_UNKNOWN_MS = 5_000;
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 60 * 60_000;

/** A client that comes back should find room beside others who do: by then this much of the limit is free again … */
const ROOM = 0.1;

/** … unless that takes longer than this: then it is enough that there is room for what was refused. */
const ROOM_MS_MAX = 60_000;

/** Refuses what a model's queue has no room for, before anything of it is queued. */
export interface Admission {
  /**
   * Counts predictions in, all or none; one entry for each. Rejects with QUEUE_FULL. What it resolves with has to be told,
   * once, whether the broker has confirmed them.
   */
  admit(models: readonly ServedModel[]): Promise<(confirmed: boolean) => void>;
}

/** What this process knows of one model's queues, both lanes together. */
interface Level {
  /** Predictions that were let in, less those that the broker refused. */
  admitted: number;
  /** Of those, the ones that the broker has confirmed: a reading that begins now sees them, or they have been taken since. */
  confirmed: number;
  /** What waited at the last reading, and how many had been confirmed when it began. */
  last?: { waiting: number; confirmed: number; at: number } | undefined;
  drainRate: DrainRate;
  /** Looks at both queues. */
  read: (everyMs: number) => Promise<void> | undefined;
}

export function createAdmission(broker: Pick<Broker, 'depth'>): Admission {
  const levels = new Map<string, Level>();

  function levelOf(model: string): Level {
    const known = levels.get(model);
    if (known) return known;
    const counts = { admitted: 0, confirmed: 0, drainRate: createDrainRate() };
    const level: Level = { ...counts, read: createReading(() => read(model, level)) };
    levels.set(model, level);
    return level;
  }

  async function read(model: string, level: Level): Promise<void> {
    const { confirmed } = level;
    // Nobody may be waiting for this, and where the broker is away the publish will say so.
    const depths = await Promise.all(LANES.map((lane) => broker.depth(predictionQueue(model, lane)))).catch(
      () => undefined,
    );
    if (!depths) return;
    const next = { waiting: depths.reduce((sum, depth) => sum + depth, 0), confirmed, at: performance.now() };
    level.drainRate.read({ ...next, entered: confirmed });
    level.last = next;
  }

  /** Waits for a reading only where the figure that is known might decide wrongly. */
  async function prepare(model: ServedModel, count: number): Promise<void> {
    const level = levelOf(model.name);
    const reading = level.read(READING_EVERY_MS);
    if (!reading || (lastOf(level) && waitingOf(level) + count <= model.maxWaiting / 2)) return;
    await within(READING_WAIT_MS, reading);
  }

  return {
    async admit(models) {
      const counts = [...Map.groupBy(models, ({ name }) => name).values()].flatMap((same) =>
        same.slice(0, 1).map((model) => ({ model, count: same.length })),
      );
      await Promise.all(counts.map(({ model, count }) => prepare(model, count)));
      // Nothing is awaited between the check and the count, so that of many at once each finds those before it.
      for (const { model, count } of counts) check(model, count, levelOf(model.name));
      for (const { model, count } of counts) levelOf(model.name).admitted += count;
      return (confirmed) => {
        for (const { model, count } of counts) {
          const level = levelOf(model.name);
          if (confirmed) level.confirmed += count;
          else level.admitted -= count;
        }
      };
    },
  };
}

function check({ name, maxWaiting: limit }: ServedModel, count: number, level: Level): void {
  const waiting = waitingOf(level);
  if (waiting + count <= limit) return;
  const asked = count === 1 ? 'one more' : `${count} more`;
  const message = `the queue of model "${name}" has no room for ${asked}: ${waiting} of at most ${limit} tasks wait`;
  const retryAfterMs = retryAfter({ waiting, limit, count, drainRate: level.drainRate.at(performance.now()) });
  throw new QueueFull(message, { waiting, limit, retryAfterMs });
}

/** What waited at the last reading, and all that it may not have seen: counted twice for a moment rather than not at all. */
function waitingOf(level: Level): number {
  const last = lastOf(level);
  return last ? last.waiting + level.admitted - last.confirmed : level.admitted - level.confirmed;
}

/** The last reading, unless it is too old to say anything. */
function lastOf({ last }: Level): Level['last'] {
  return last && performance.now() - last.at <= READING_OLD_MS ? last : undefined;
}

function retryAfter(of: { waiting: number; limit: number; count: number; drainRate: number | undefined }): number {
  const { waiting, limit, count, drainRate = 0 } = of;
  if (drainRate <= 0) return RETRY_UNKNOWN_MS;
  // More than may ever wait finds no room, however long it waits.
  const neededMs = Math.min(waiting, waiting + count - limit) / drainRate;
  const roomMs = Math.min((waiting - (1 - ROOM) * limit) / drainRate, ROOM_MS_MAX);
  return Math.round(Math.min(Math.max(neededMs, roomMs, RETRY_MIN_MS), RETRY_MAX_MS));
}
