import type { Redis, Result } from 'ioredis';
import { keyOf } from './redis-keys.ts';

/** Fields of a task's hash that are its head, and all that are read of it; one more, `claim`, is for the script that changes it. */
const HEAD_FIELDS = ['state', 'submission', 'attempts'] as const;
const FIELDS = [...HEAD_FIELDS, 'revision', 'startedAt', 'completedAt', 'end'] as const;

/** The fields of one task, in their order, null where there is none. */
export type Row = readonly (Buffer | null)[];

/** For fields that are small. */
const NO_BOUND = '';

/**
 * Reads hashes, from the first on, as long as the last of the fields takes at most so many bytes altogether, where there is a bound; at least one. One whose field is larger
 * by itself is read without it, and a number stands in its place: a script copies what it reads, and everybody waits meanwhile.
 */
const READ = `
local rows, bytes, max = {}, 0, tonumber(ARGV[1]) or math.huge
local fields = { unpack(ARGV, 2) }
for i, key in ipairs(KEYS) do
  local own = max < math.huge and redis.call('HSTRLEN', key, fields[#fields]) or 0
  bytes = bytes + own
  if bytes > max and i > 1 then break end
  if own > max then
    rows[i] = redis.call('HMGET', key, unpack(fields, 1, #fields - 1))
    rows[i][#fields] = own
  else
    rows[i] = redis.call('HMGET', key, unpack(fields))
  end
end
return rows
`;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    foretellReadBuffer(keys: number, ...args: (string | number)[]): Result<(Buffer | number | null)[][], Context>;
  }
}

export function defineReads(redis: Redis): void {
  redis.defineCommand('foretellRead', { lua: READ });
}

/** The heads of all of these tasks. */
export async function readHeads(redis: Redis, ids: readonly string[]): Promise<Row[]> {
  return (await read(redis, ids, HEAD_FIELDS, NO_BOUND)).map((row) => row.map(present));
}

/**
 * Tasks with their results, from the first on, as long as those are at most so many bytes altogether; at least one.
 * `undefined` for a first one whose result is larger by itself.
 */
export async function readTasks(redis: Redis, ids: readonly string[], bytesMax: number): Promise<Row[] | undefined> {
  const rows = await read(redis, ids, FIELDS, bytesMax);
  return typeof rows[0]?.at(-1) === 'number' ? undefined : rows.map((row) => row.map(present));
}

/** One task, however large its result: no script copies it. */
export function readTask(redis: Redis, id: string): Promise<Row> {
  return redis.hmgetBuffer(keyOf(id), ...FIELDS);
}

function read(redis: Redis, ids: readonly string[], fields: readonly string[], bytesMax: number | typeof NO_BOUND) {
  return redis.foretellReadBuffer(ids.length, ...ids.map(keyOf), bytesMax, ...fields);
}

function present(value: Buffer | number | null): Buffer | null {
  return typeof value === 'number' ? null : value;
}
