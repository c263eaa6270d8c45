import type { ChainableCommander } from 'ioredis';
import { z } from 'zod';
import type { RedisConnection } from '../../redis/connection.ts';
import { UNFINISHED_TTL_MS } from '../../task/record.ts';
import type { Submission } from '../../task/task.ts';
import { HEADER_BYTES, RECORD_BYTES } from '../room.ts';
import { Tally } from '../tally.ts';

/** Sorted set: the buckets that may still hold something, by the moment that they expire. */
const BUCKETS = 'foretell:stored';

/** Of one time to live: what is kept counts for as much longer than it lives. */
const BUCKETS_MAX = 16;
const BUCKET_MS_MIN = 1_000;

/** Longer than any bucket that is written to at the time. */
const INDEX_TTL_MS = 2 * UNFINISHED_TTL_MS;

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

const UNFINISHED_WIDTH_MS = widthOf(UNFINISHED_TTL_MS);

/**
 * Lua: counts what a call's changes add to and take from buckets, and writes that once for each bucket and owner. A change that brings no submission along
 * has its owner read from the record. What was never counted (a record of an older release) does not make a bucket negative.
 */
export const COUNTING = `
local stored = {}
local function count(bucket, owner, bytes)
  local owners = stored[bucket]
  if not owners then
    owners = {}
    stored[bucket] = owners
  end
  owners[owner] = (owners[owner] or 0) + bytes
end

local function allocated(bytes)
  if bytes == 0 then return 0 end
  local size = bytes + ${HEADER_BYTES}
  local _, exponent = math.frexp(size)
  local step = 2 ^ (exponent - 3)
  return math.ceil(size / step) * step
end

local function countChange(rule, key, isNew, inputsBytes, endBytes)
  local owner, unfinished = rule.owner, rule.unfinished
  if owner == '' then
    local submission, submittedAt = redis.call('HGET', key, 'submission') or '', nil
    owner, submittedAt = string.match(submission, '"owner":(".-"),"model":.*"submittedAt":(%d+)')
    if not owner then return end
    unfinished = digits(math.ceil((submittedAt + ${UNFINISHED_TTL_MS}) / ${UNFINISHED_WIDTH_MS}) * ${UNFINISHED_WIDTH_MS})
  end
  if rule.finished ~= '' then
    count(rule.finished, owner, ${RECORD_BYTES} + allocated(endBytes))
    if not isNew then count(unfinished, owner, -${RECORD_BYTES}) end
  elseif isNew then
    count(unfinished, owner, ${RECORD_BYTES})
  end
  if inputsBytes > 0 then count(unfinished, owner, -allocated(inputsBytes)) end
end

local function writeCounts()
  for bucket, owners in pairs(stored) do
    local key = '${BUCKETS}:' .. bucket
    for owner, bytes in pairs(owners) do
      local sum = redis.call('HINCRBY', key, owner, digits(bytes))
      if sum < 0 then
        redis.call('HDEL', key, owner)
      elseif sum == bytes then
        redis.call('PEXPIREAT', key, bucket)
        redis.call('ZADD', '${BUCKETS}', bucket, bucket)
        redis.call('PEXPIRE', '${BUCKETS}', ${INDEX_TTL_MS})
      end
    end
  end
end
`;

/** Counts inputs that are kept beside the record of an unfinished task; a negative amount those that were not kept after all. */
export function countInputs(
  commands: ChainableCommander,
  of: Pick<Submission, 'owner' | 'submittedAt'>,
  bytes: number,
): ChainableCommander {
  const bucket = unfinishedBucketOf(of);
  return commands
    .hincrby(keyOf(bucket), ownerText(of.owner), bytes)
    .pexpireat(keyOf(bucket), bucket)
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
    Promise.all(buckets.map((bucket) => redis.hgetall(keyOf(Number(bucket))))),
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

function keyOf(bucket: number): string {
  return `${BUCKETS}:${bucket}`;
}
