import type { Redis, Result } from 'ioredis';
import { StoreUnavailable } from '../errors.ts';
import {
  findingText,
  mergeSharing,
  overIndependent,
  SHARING_RANK,
  type Sharing,
  sharingSchema,
} from '../models/sharing.ts';
import type { RedisConnection } from '../redis/connection.ts';

/** Hash: key of a finding -> its rank, the day of its last use, and what it says. */
const FINDINGS = 'foretell:sharing';

/** A finding that no worker has used for so many days is dropped, and found again when it is needed. */
const FORGET_DAYS = 90;

const DAY_MS = 24 * 3_600_000;

/** `2:20785:{…}`: until the year 2243 a day has five digits. */
const HEAD_LENGTH = 8;

/**
 * `mergeSharing`, in one step: ARGV is the key, the finding, and what it becomes where an independent one is held. What says the same is
 * written again, with its day. Returns what holds now.
 */
const RECORD = `
local held = redis.call('HGET', KEYS[1], ARGV[1])
local new = held and string.sub(held, 1, 1) == '${SHARING_RANK.independent}' and ARGV[3] or ARGV[2]
if held and string.sub(held, ${HEAD_LENGTH + 1}) ~= string.sub(new, ${HEAD_LENGTH + 1}) then
  local rank = string.sub(held, 1, 1)
  if rank == '${SHARING_RANK.dependent}' or rank > string.sub(new, 1, 1) then return held end
end
redis.call('HSET', KEYS[1], ARGV[1], new)
return new
`;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    foretellRecordSharing(
      keys: number,
      hash: string,
      key: string,
      next: string,
      overIndependent: string,
    ): Result<string, Context>;
  }
}

export interface RedisSharing {
  sharing(key: string): Sharing | undefined;
  findSharing(key: string): Promise<Sharing | undefined>;
  /** Resolves with what holds now, and whether that is another finding than before. */
  record(key: string, sharing: Sharing): Promise<{ held: Sharing; isNew: boolean }>;
  /**
   * Reads all findings, puts back what Redis has lost, and renews those in use. Resolves with whether any is another than before here
   * (`changed`), and whether Redis was given any (`restored`).
   */
  read(inUse: Iterable<string>): Promise<{ changed: boolean; restored: boolean }>;
}

interface Entry {
  sharing: Sharing;
  day: number;
}

export function createRedisSharing(commands: RedisConnection): RedisSharing {
  commands.redis.defineCommand('foretellRecordSharing', { lua: RECORD });
  /** As last read, and as this process found it: a Redis that has lost everything has it back from whoever remembers. */
  const known = new Map<string, Entry>();

  async function write(key: string, sharing: Sharing, day: number): Promise<Entry> {
    const [next, after] = [encode({ sharing, day }), encode({ sharing: overIndependent(sharing), day })];
    const text = await commands.run((redis: Redis) => redis.foretellRecordSharing(1, FINDINGS, key, next, after));
    return parse(text) ?? { sharing, day };
  }

  /** Returns whether it says another thing than before. */
  function adopt(key: string, entry: Entry): boolean {
    const before = known.get(key)?.sharing;
    known.set(key, entry);
    return isOther(before, entry.sharing);
  }

  return {
    sharing: (key) => known.get(key)?.sharing,
    async findSharing(key) {
      const held = known.get(key)?.sharing;
      if (held) return held;
      try {
        const text = await commands.run((redis) => redis.hget(FINDINGS, key));
        const entry = text === null ? undefined : parse(text);
        if (entry) known.set(key, entry);
        return entry?.sharing;
      } catch (error) {
        if (error instanceof StoreUnavailable) return undefined;
        throw error;
      }
    },
    async record(key, sharing) {
      const before = known.get(key)?.sharing;
      const day = today();
      // At once: whoever asks next must not share a run while Redis is told.
      known.set(key, { sharing: mergeSharing(before, sharing), day });
      try {
        const entry = await write(key, sharing, day);
        known.set(key, entry);
        return { held: entry.sharing, isNew: isOther(before, entry.sharing) };
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        const held = known.get(key)?.sharing ?? sharing;
        return { held, isNew: isOther(before, held) };
      }
    },
    async read(inUse) {
      const kept = new Map(Object.entries(await commands.run((redis) => redis.hgetall(FINDINGS))));
      const { adopted, due, forgotten } = compare(known, kept);
      let changed = false;
      for (const [key, entry] of adopted) changed = adopt(key, entry) || changed;
      if (forgotten.length > 0) await commands.run((redis) => redis.hdel(FINDINGS, ...forgotten));
      for (const [key, entry] of known) if (isForgotten(entry)) known.delete(key);
      const restored = due.size > 0;
      for (const [key, { sharing, day }] of withUsed(due, known, inUse))
        changed = adopt(key, await write(key, sharing, day)) || changed;
      return { changed, restored };
    },
  };
}

type Entries = ReadonlyMap<string, Entry>;

/** What is known here beside what Redis has: what is news here, what is due there, and what nobody has used for long. */
function compare(known: Entries, kept: ReadonlyMap<string, string>) {
  const adopted = new Map<string, Entry>();
  const due = new Map<string, Entry>();
  const forgotten: string[] = [];
  for (const [key, text] of kept) {
    const entry = parse(text);
    const own = known.get(key);
    if (!entry || isForgotten(entry)) forgotten.push(key);
    else if (own && outranks(own.sharing, entry.sharing)) due.set(key, own);
    else adopted.set(key, entry);
  }
  for (const [key, entry] of known) if (!kept.has(key) && !isForgotten(entry)) due.set(key, entry);
  return { adopted, due, forgotten };
}

/** What is due, and of what is in use all that was not said today. */
function withUsed(due: Entries, known: Entries, inUse: Iterable<string>): Entries {
  const all = new Map(due);
  for (const key of inUse) {
    const entry = due.get(key) ?? known.get(key);
    if (entry && entry.day < today()) all.set(key, { ...entry, day: today() });
  }
  return all;
}

function isForgotten({ day }: Entry): boolean {
  return day < today() - FORGET_DAYS;
}

function isOther(before: Sharing | undefined, now: Sharing): boolean {
  return !before || findingText(before) !== findingText(now);
}

/** Whether this process found, while Redis was away, what outranks the finding there. */
function outranks(own: Sharing, kept: Sharing): boolean {
  return SHARING_RANK[own.finding] > SHARING_RANK[kept.finding];
}

function today(): number {
  return Math.floor(Date.now() / DAY_MS);
}

function encode({ sharing, day }: Entry): string {
  return `${SHARING_RANK[sharing.finding]}:${day}:${findingText(sharing)}`;
}

function parse(text: string): Entry | undefined {
  try {
    const sharing = sharingSchema.parse(JSON.parse(text.slice(HEAD_LENGTH)));
    return { sharing, day: Number(text.slice(2, HEAD_LENGTH - 1)) };
  } catch {
    // Of a release that says it otherwise: as good as none.
    return undefined;
  }
}
