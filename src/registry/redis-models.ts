import { z } from 'zod';
import { forgetOldest } from '../async/oldest-first.ts';
import { type ServedModel, servedModelSchema } from '../models/served-model.ts';
import type { Log } from '../process/log.ts';
import type { RedisConnection } from '../redis/connection.ts';
import { UNFINISHED_TTL_MS } from '../task/record.ts';
import { lastWithdrawn } from './last-withdrawn.ts';

/** Hash: `[name, version]` -> which announcement is current. */
const POINTERS = 'foretell:models';

/** An announcement that no worker renewed for so long is withdrawn: no task that was submitted for it is unfinished any more. */
const STALE_MS = UNFINISHED_TTL_MS;

/** Announcements kept in this process; beyond it the oldest go, and are read again when they are asked for. */
const CACHE_MAX = 1_000;

/** A model as this process announces it. */
export interface Announcement {
  model: ServedModel;
  fingerprint: string;
  /** When it was announced first: of two workers that differ, the later counts, whoever renews last. */
  announcedAt: number;
}

/** What Redis keeps of the models: each announcement under its fingerprint, and which of them are current. */
export interface RedisModels {
  /** Writes or renews announcements; resolves with whether that made another one current. */
  renew(announcements: readonly Announcement[]): Promise<boolean>;
  /** Has none current of a name and version that no worker has any more: `fieldOf` them. */
  withdraw(fields: readonly string[]): Promise<void>;
  /** The current ones, those that were withdrawn and that tasks may refer to, and whether some had been lost and were put back. */
  read(): Promise<{ current: ServedModel[]; withdrawn: ServedModel[]; restored: boolean }>;
  find(fingerprint: string): Promise<ServedModel | undefined>;
}

export function createRedisModels(commands: RedisConnection, resultTtlMs: number, log: Log): RedisModels {
  const cache = createModelCache(log);
  // For as long as there may be a task that was submitted for it: unfinished, then finished.
  const modelTtlMs = UNFINISHED_TTL_MS + resultTtlMs;
  /** As last read: a Redis that has lost everything has it back from whoever remembers, also while no worker is there. */
  let remembered = new Map<string, Pointer>();

  async function keep({ model, fingerprint }: Announcement): Promise<void> {
    const key = keyOf(fingerprint);
    if ((await commands.run((redis) => redis.pexpire(key, modelTtlMs))) === 1) return;
    await commands.run((redis) => redis.set(key, JSON.stringify(model), 'PX', modelTtlMs));
  }

  async function find(fingerprint: string): Promise<ServedModel | undefined> {
    if (cache.has(fingerprint)) return cache.get(fingerprint);
    const text = await commands.run((redis) => redis.get(keyOf(fingerprint)));
    return text === null ? undefined : cache.add(fingerprint, text);
  }

  /** Puts back what is missing, as far as it is remembered; resolves with that. */
  async function restore(lost: readonly [string, Pointer][]): Promise<[string, Pointer][]> {
    const restored: [string, Pointer][] = [];
    for (const [field, pointer] of lost) {
      const model = cache.get(pointer.fingerprint);
      if (!model) continue;
      await keep({ model, ...pointer });
      // Unless a worker was quicker.
      await commands.run((redis) => redis.hsetnx(POINTERS, field, JSON.stringify(pointer)));
      restored.push([field, pointer]);
    }
    return restored;
  }

  async function findAll(pointers: Iterable<Pointer>): Promise<ServedModel[]> {
    const models = await Promise.all([...pointers].map(({ fingerprint }) => find(fingerprint)));
    return models.filter((model) => model !== undefined);
  }

  return {
    find,
    async renew(announcements) {
      if (announcements.length === 0) return false;
      const fields = announcements.map(({ model }) => fieldOf(model));
      const present = (await commands.run((redis) => redis.hmget(POINTERS, ...fields))).map(parsePointer);
      // The models first: a pointer never leads to nothing.
      await Promise.all(announcements.map(keep));
      const pointers: string[] = [];
      let changed = false;
      for (const [i, { fingerprint, announcedAt }] of announcements.entries()) {
        const pointer = present[i]?.withdrawn ? undefined : present[i];
        const same = pointer?.fingerprint === fingerprint;
        // During a rolling update the old workers and the new ones announce one version differently.
        if (!same && (pointer?.announcedAt ?? 0) > announcedAt) continue;
        changed ||= !same;
        pointers.push(fields[i] ?? '', JSON.stringify({ fingerprint, announcedAt, seenAt: Date.now() }));
      }
      if (pointers.length > 0) await commands.run((redis) => redis.hset(POINTERS, ...pointers));
      return changed;
    },
    async withdraw(fields) {
      const [first, ...rest] = fields;
      if (first === undefined) return;
      const pointers = (await commands.run((redis) => redis.hmget(POINTERS, first, ...rest))).map(parsePointer);
      const seenAt = Date.now();
      const withdrawn = fields.flatMap((field, i) => {
        const pointer = pointers[i];
        // Kept, and marked: what is merely missing is put back by whoever remembers it.
        return pointer ? [field, JSON.stringify({ ...pointer, withdrawn: true, seenAt })] : [];
      });
      if (withdrawn.length > 0) await commands.run((redis) => redis.hset(POINTERS, ...withdrawn));
    },
    async read() {
      const kept = await commands.run((redis) => redis.hgetall(POINTERS));
      const now = Date.now();
      const isReferable = ({ seenAt }: Pointer) => seenAt >= now - modelTtlMs;
      const isCurrent = ({ seenAt, withdrawn }: Pointer) => seenAt >= now - STALE_MS && !withdrawn;
      const lost = [...remembered].filter(([field, pointer]) => !(field in kept) && isReferable(pointer));
      const restored = await restore(lost);
      const found = Object.entries(kept).flatMap(([field, text]): [string, Pointer][] => {
        const pointer = parsePointer(text);
        return pointer && nameOf(field) !== undefined ? [[field, pointer]] : [];
      });
      const forgotten = found.flatMap(([field, pointer]) => (isReferable(pointer) ? [] : [field]));
      if (forgotten.length > 0) await commands.run((redis) => redis.hdel(POINTERS, ...forgotten));
      remembered = new Map([...found.filter(([, pointer]) => isReferable(pointer)), ...restored]);
      const current = [...remembered].filter(([, pointer]) => isCurrent(pointer));
      const others = [...remembered].filter(([, pointer]) => !isCurrent(pointer));
      const withdrawn = lastWithdrawn(others.map(named), new Set(current.map(named).map(({ name }) => name)));
      return {
        current: await findAll(current.map(([, pointer]) => pointer)),
        withdrawn: await findAll(withdrawn),
        restored: restored.length > 0,
      };
    },
  };
}

/** Under which a model is current. */
export function fieldOf({ name, version }: { name: string; version: string }): string {
  return JSON.stringify([name, version]);
}

function named([field, pointer]: [string, Pointer]): Pointer & { name: string } {
  return { ...pointer, name: nameOf(field) ?? '' };
}

/** `undefined` for a field that is none of ours. */
function nameOf(field: string): string | undefined {
  try {
    return z.tuple([z.string(), z.string()]).parse(JSON.parse(field))[0];
  } catch {
    return undefined;
  }
}

function keyOf(fingerprint: string): string {
  return `foretell:model:${fingerprint}`;
}

const pointerSchema = z.object({
  fingerprint: z.string(),
  announcedAt: z.number(),
  seenAt: z.number(),
  withdrawn: z.boolean().optional(),
});

type Pointer = z.infer<typeof pointerSchema>;

function parsePointer(text: string | null): Pointer | undefined {
  try {
    return pointerSchema.parse(JSON.parse(text ?? ''));
  } catch {
    // Not ours, or of a release that says it otherwise: as good as none.
    return undefined;
  }
}

/** Announcements by fingerprint; they never change, so they are read and parsed once. */
function createModelCache(log: Log) {
  // `undefined` for one that does not parse: worth one line in the log, not one with each reading.
  const models = new Map<string, ServedModel | undefined>();
  return {
    has: (fingerprint: string) => models.has(fingerprint),
    get: (fingerprint: string) => models.get(fingerprint),
    add(fingerprint: string, text: string): ServedModel | undefined {
      const model = parseModel(text);
      if (!model) log.warn({ fingerprint }, 'announced model not understood');
      models.set(fingerprint, model);
      forgetOldest(models, CACHE_MAX);
      return model;
    },
  };
}

function parseModel(text: string): ServedModel | undefined {
  try {
    return servedModelSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
