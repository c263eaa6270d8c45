import { forgetOldest } from '../async/oldest-first.ts';
import { type ServedModel, servedModelSchema } from '../models/served-model.ts';
import type { Log } from '../process/log.ts';
import type { RedisConnection } from '../redis/connection.ts';

/** Registrations kept in this process; beyond it the oldest go, and are read again when they are asked for. */
const CACHE_MAX = 1_000;

/** A model as this process registers it. */
export interface Registration {
  model: ServedModel;
  fingerprint: string;
  /** When it was registered first: of two workers that differ, the later counts, whoever renews last. */
  announcedAt: number;
}

/** Registrations by their fingerprints, in Redis and as read here. They never change, so each is read and parsed once. */
export interface RedisRegistrations {
  /** Writes one, or renews its time to live. */
  keep(registration: Pick<Registration, 'model' | 'fingerprint'>): Promise<void>;
  find(fingerprint: string): Promise<ServedModel | undefined>;
  /** One that was read before. */
  known(fingerprint: string): ServedModel | undefined;
}

export function createRedisRegistrations(commands: RedisConnection, ttlMs: number, log: Log): RedisRegistrations {
  // `undefined` for one that does not parse: worth one line in the log, not one with each reading.
  const models = new Map<string, ServedModel | undefined>();

  function adopt(fingerprint: string, text: string): ServedModel | undefined {
    const model = parseModel(text);
    if (!model) log.warn({ fingerprint }, 'registered model not readable');
    models.set(fingerprint, model);
    forgetOldest(models, CACHE_MAX);
    return model;
  }

  return {
    async keep({ model, fingerprint }) {
      const key = modelKeyOf(fingerprint);
      if ((await commands.run((redis) => redis.pexpire(key, ttlMs))) === 1) return;
      await commands.run((redis) => redis.set(key, JSON.stringify(model), 'PX', ttlMs));
    },
    async find(fingerprint) {
      if (models.has(fingerprint)) return models.get(fingerprint);
      const text = await commands.run((redis) => redis.get(modelKeyOf(fingerprint)));
      return text === null ? undefined : adopt(fingerprint, text);
    },
    known: (fingerprint) => models.get(fingerprint),
  };
}

function modelKeyOf(fingerprint: string): string {
  return `foretell:model:${fingerprint}`;
}

function parseModel(text: string): ServedModel | undefined {
  try {
    return servedModelSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
