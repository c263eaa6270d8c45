import { z } from 'zod';
import type { ServedModel } from '../models/served-model.ts';
import type { Log } from '../process/log.ts';
import type { RedisConnection } from '../redis/connection.ts';
import { UNFINISHED_TTL_MS } from '../task/record.ts';
import { lastWithdrawn } from './last-withdrawn.ts';
import { createRedisRegistrations, type Registration } from './redis-registrations.ts';

/** Hash: `[name, version]` -> which registration is current. */
const POINTERS = 'foretell:models';

/** A registration that no worker renewed for so long is withdrawn: no task that was submitted for it is unfinished any more. */
const STALE_MS = UNFINISHED_TTL_MS;

/** What Redis keeps of the models: each registration under its fingerprint, and which of them are current. */
export interface RedisModels {
  /** Writes or renews registrations; resolves with whether that made another one current. */
  renew(registrations: readonly Registration[]): Promise<boolean>;
  /** Has none current of a name and version that no worker has any more: `fieldOf` them. */
  withdraw(fields: readonly string[]): Promise<void>;
  /** The current ones, those that were withdrawn and that tasks may refer to, and whether some had been lost and were put back. */
  read(): Promise<{ current: ServedModel[]; withdrawn: ServedModel[]; restored: boolean }>;
  find(fingerprint: string): Promise<ServedModel | undefined>;
}

export function createRedisModels(commands: RedisConnection, resultTtlMs: number, log: Log): RedisModels {
  // For as long as there may be a task that was submitted for it: unfinished, then finished.
  const modelTtlMs = UNFINISHED_TTL_MS + resultTtlMs;
  const registrations = createRedisRegistrations(commands, modelTtlMs, log);
  /** As last read: a Redis that has lost everything has it back from whoever remembers, also while no worker is there. */
  let remembered: Pointers = new Map();

  const presentAt = async (fields: readonly string[]) =>
    (await commands.run((redis) => redis.hmget(POINTERS, ...fields))).map(parsePointer);

  const write = async (pointers: readonly [string, Pointer][]) => {
    const texts = pointers.flatMap(([field, pointer]) => [field, JSON.stringify(pointer)]);
    if (texts.length > 0) await commands.run((redis) => redis.hset(POINTERS, ...texts));
  };

  /** Puts back what is missing, as far as it is remembered; resolves with that. */
  async function restore(lost: readonly [string, Pointer][]): Promise<[string, Pointer][]> {
    const restored: [string, Pointer][] = [];
    for (const [field, pointer] of lost) {
      const model = registrations.known(pointer.fingerprint);
      if (!model) continue;
      await registrations.keep({ model, ...pointer });
      // Unless a worker was quicker.
      await commands.run((redis) => redis.hsetnx(POINTERS, field, JSON.stringify(pointer)));
      restored.push([field, pointer]);
    }
    return restored;
  }

  /** Reads what is remembered from then on; resolves with whether some had been lost and was put back. */
  async function remember(isReferable: (pointer: Pointer) => boolean): Promise<boolean> {
    const kept = await commands.run((redis) => redis.hgetall(POINTERS));
    const lost = [...remembered].filter(([field, pointer]) => !(field in kept) && isReferable(pointer));
    const restored = await restore(lost);
    const found = pointersIn(kept);
    const forgotten = found.flatMap(([field, pointer]) => (isReferable(pointer) ? [] : [field]));
    if (forgotten.length > 0) await commands.run((redis) => redis.hdel(POINTERS, ...forgotten));
    remembered = new Map([...found.filter(([, pointer]) => isReferable(pointer)), ...restored]);
    return restored.length > 0;
  }

  async function findAll(pointers: readonly Pointer[]): Promise<ServedModel[]> {
    const models = await Promise.all(pointers.map(({ fingerprint }) => registrations.find(fingerprint)));
    return models.filter((model) => model !== undefined);
  }

  return {
    find: registrations.find,
    async renew(registered) {
      if (registered.length === 0) return false;
      const present = await presentAt(registered.map(({ model }) => fieldOf(model)));
      // The models first: a pointer never leads to nothing.
      await Promise.all(registered.map(registrations.keep));
      const { pointers, changed } = renewed(registered, present);
      await write(pointers);
      return changed;
    },
    async withdraw(fields) {
      if (fields.length > 0) await write(withdrawn(fields, await presentAt(fields)));
    },
    async read() {
      const now = Date.now();
      const restored = await remember(({ seenAt }) => seenAt >= now - modelTtlMs);
      const [current, last] = currentAndLast(remembered, now);
      return { current: await findAll(current), withdrawn: await findAll(last), restored };
    },
  };
}

type Pointers = Map<string, Pointer>;

/** What registrations lead to after they were renewed, and whether another one is current then. */
function renewed(registered: readonly Registration[], present: readonly (Pointer | undefined)[]) {
  const pointers: [string, Pointer][] = [];
  let changed = false;
  for (const [i, { model, fingerprint, announcedAt }] of registered.entries()) {
    const pointer = present[i]?.withdrawn ? undefined : present[i];
    const same = pointer?.fingerprint === fingerprint;
    // During a rolling update the old workers and the new ones register one version differently.
    if (!same && (pointer?.announcedAt ?? 0) > announcedAt) continue;
    changed ||= !same;
    pointers.push([fieldOf(model), { fingerprint, announcedAt, seenAt: Date.now() }]);
  }
  return { pointers, changed };
}

/** Kept, and marked: what is merely missing is put back by whoever remembers it. */
function withdrawn(fields: readonly string[], present: readonly (Pointer | undefined)[]): [string, Pointer][] {
  const seenAt = Date.now();
  return fields.flatMap((field, i): [string, Pointer][] => {
    const pointer = present[i];
    return pointer ? [[field, { ...pointer, withdrawn: true, seenAt }]] : [];
  });
}

/** Those that are current, and of the names that have none, those that went last. */
function currentAndLast(pointers: Pointers, now: number): [current: Pointer[], last: Pointer[]] {
  const isCurrent = ({ seenAt, withdrawn }: Pointer) => seenAt >= now - STALE_MS && !withdrawn;
  const all = [...pointers].map(named);
  const current = all.filter(isCurrent);
  const others = all.filter((pointer) => !isCurrent(pointer));
  return [current, lastWithdrawn(others, new Set(current.map(({ name }) => name)))];
}

/** Those that are ours. */
function pointersIn(kept: Record<string, string>): [string, Pointer][] {
  return Object.entries(kept).flatMap(([field, text]): [string, Pointer][] => {
    const pointer = parsePointer(text);
    return pointer && nameOf(field) !== undefined ? [[field, pointer]] : [];
  });
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
