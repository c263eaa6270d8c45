import type { ChainableCommander } from 'ioredis';
import { z } from 'zod';
import type { RedisConnection } from '../../redis/connection.ts';
import { UNFINISHED_TTL_MS } from '../../task/record.ts';
import type { Submission } from '../../task/task.ts';
import { Tally } from '../tally.ts';

/** Sorted set: the buckets that may still hold something, by the moment that they expire. */
export const BUCKETS = 'foretell:stored';

/** Of one time to live: what is kept counts for as much longer than it lives. */
const BUCKETS_MAX = 16;
const BUCKET_MS_MIN = 1_000;

/** Longer than any bucket that is written to at the time. */
export const INDEX_TTL_MS = 2 * UNFINISHED_TTL_MS;

/**
 * The bucket of what is kept for `ttlMs` from a moment on: the moment that the bucket expires. A bucket is a hash of owners and bytes which expires
 * by itself, together with what it counts. A single counter would drift, since nobody is there to count down what expires.
 */
export function bucketOf(from: number, ttlMs: number): number {
  const widthMs = widthOf(ttlMs);
  return Math.ceil((from + ttlMs) / widthMs) * widthMs;
}

/** The bucket of an unfinished task: known from its submission alone, so that the change that ends the task finds it. */
export function unfinishedBucketOf({ submittedAt }: Pick<Submission, 'submittedAt'>): number {
  return bucketOf(submittedAt, UNFINISHED_TTL_MS);
}

function widthOf(ttlMs: number): number {
  return Math.max(BUCKET_MS_MIN, Math.ceil(ttlMs / BUCKETS_MAX));
}

/** An owner as it stands in records and in buckets: scripts find it there without reading JSON. */
export function ownerText(owner: string): string {
  return JSON.stringify(owner);
}

export const UNFINISHED_WIDTH_MS = widthOf(UNFINISHED_TTL_MS);

/** Counts inputs that are kept beside the record of an unfinished task; a negative amount those that were not kept after all. */
export function countInputs(
  commands: ChainableCommander,
  of: Pick<Submission, 'owner' | 'submittedAt'>,
  bytes: number,
): ChainableCommander {
  const bucket = unfinishedBucketOf(of);
  return commands
    .hincrby(bucketKeyOf(bucket), ownerText(of.owner), bytes)
    .pexpireat(bucketKeyOf(bucket), bucket)
    .zadd(BUCKETS, bucket, `${bucket}`)
    .pexpire(BUCKETS, INDEX_TTL_MS);
}

/** What is counted at present. */
export interface Usage {
  bytes: Tally;
  /** By owner, when the first of it expires. */
  freeAt: ReadonlyMap<string, number>;
}

const ownerSchema = z.string();

export async function readUsage(commands: RedisConnection): Promise<Usage> {
  const now = Date.now();
  const buckets = await commands.run(async (redis) => {
    await redis.zremrangebyscore(BUCKETS, '-inf', `${now}`);
    return redis.zrangebyscore(BUCKETS, '-inf', '+inf');
  });
  const hashes = await commands.run((redis) =>
    Promise.all(buckets.map((bucket) => redis.hgetall(bucketKeyOf(Number(bucket))))),
  );
  const bytes = new Tally();
  const freeAt = new Map<string, number>();
  for (const [i, hash] of hashes.entries()) {
    for (const [text, count] of Object.entries(hash)) {
      if (Number(count) <= 0) continue;
      const owner = ownerSchema.parse(JSON.parse(text));
      bytes.add(owner, Number(count));
      // Buckets come in the order that they expire.
      if (!freeAt.has(owner)) freeAt.set(owner, Number(buckets[i]));
    }
  }
  return { bytes, freeAt };
}

function bucketKeyOf(bucket: number): string {
  return `${BUCKETS}:${bucket}`;
}
