import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { RedisConnection } from '../redis/connection.ts';
import { type RegistryFault, registryFaultSchema } from './registry.ts';

/** Hash: the ids of workers. Each has a key of its own, which goes by itself when the worker does. */
const WORKERS = 'foretell:workers';

/** Three heartbeats: a worker that was killed is missed after half a minute. */
const PRESENT_MS = 30_000;

/** What a worker has at present, and tells with each heartbeat. */
export interface Presence {
  /** Fingerprints, by `[name, version]` as JSON. */
  models: Record<string, string>;
  faults: readonly RegistryFault[];
}

/** Which workers are there. */
export interface RedisPresence {
  /** Says, or says again, what this worker has; resolves with whether it is another thing than before. */
  tell(presence: Presence): Promise<boolean>;
  /** What the others have. */
  others(): Promise<Presence[]>;
  all(): Promise<Presence[]>;
  /** This worker goes. */
  leave(): Promise<void>;
}

export function createRedisPresence(commands: RedisConnection): RedisPresence {
  const id = randomUUID();
  let told: string | undefined;

  async function present(except?: string): Promise<Presence[]> {
    const ids = (await commands.run((redis) => redis.hkeys(WORKERS))).filter((other) => other !== except);
    const texts = await Promise.all(ids.map((other) => commands.run((redis) => redis.get(workerKeyOf(other)))));
    const gone = ids.filter((_, i) => texts[i] === null);
    if (gone.length > 0) await commands.run((redis) => redis.hdel(WORKERS, ...gone));
    return texts.flatMap((text) => parse(text) ?? []);
  }

  return {
    async tell(presence) {
      const text = JSON.stringify(presence);
      await commands.run((redis) => redis.set(workerKeyOf(id), text, 'PX', PRESENT_MS));
      await commands.run((redis) => redis.hset(WORKERS, id, ''));
      const isNew = text !== told;
      told = text;
      return isNew;
    },
    others: () => present(id),
    all: () => present(),
    async leave() {
      if (told === undefined) return;
      await commands.run((redis) => redis.del(workerKeyOf(id)));
      await commands.run((redis) => redis.hdel(WORKERS, id));
    },
  };
}

function workerKeyOf(id: string): string {
  return `foretell:worker:${id}`;
}

const presenceSchema = z.object({
  models: z.record(z.string(), z.string()),
  faults: z.array(registryFaultSchema),
});

function parse(text: string | null): Presence | undefined {
  try {
    return presenceSchema.parse(JSON.parse(text ?? ''));
  } catch {
    // Gone, or of a release that says it otherwise.
    return undefined;
  }
}
