import type { Redis, Result } from 'ioredis';
import { taskKeyOf } from './redis-keys.ts';
import { ownerText } from './redis-usage.ts';

/** Fields of a task's hash that are its head, and those that are read with its result, `end`; one more, `claim`, is for the script that changes it. */
const HEAD_FIELDS = ['state', 'submission', 'attempts'] as const;
const FIELDS = [...HEAD_FIELDS, 'revision', 'startedAt', 'completedAt'] as const;

/** The fields of one task, in their order, null where there is none; nothing at all of a task that another owner has. */
export type Row = readonly (Buffer | null)[];

/** For what is read without results. */
const NO_END = '';

/** For tasks of any owner. */
const ANY_OWNER = '';

/**
 * Reads hashes, and of them the ends, from the first on, as long as those take at most so many bytes altogether; at least one. One that is larger by itself is
 * read without it, and a number stands in its place: a script copies what it reads, and everybody waits meanwhile. A task of another owner than the one asked
 * for gives no fields, as one that is not there, and its end is not looked at: the owner stands in the record's submission, as `markOf` says.
 *
 * Takes the number of fields, the bound (or nothing, for no ends), the fields, and the owner's mark for each task, or once for all.
 */
const READ = `
local rows, bytes, n, max = {}, 0, tonumber(ARGV[1]), tonumber(ARGV[2])
local fields = { unpack(ARGV, 3, n + 2) }
for i, key in ipairs(KEYS) do
  local row, owner = redis.call('HMGET', key, unpack(fields)), ARGV[n + 2 + i] or ARGV[n + 3]
  if owner ~= '' and not string.find(row[2] or '', owner, 1, true) then
    row = {}
  elseif max then
    local own = redis.call('HSTRLEN', key, 'end')
    bytes = bytes + own
    if bytes > max and i > 1 then break end
    if own > max then row[n + 1] = own elseif own > 0 then row[n + 1] = redis.call('HGET', key, 'end') end
  end
  rows[i] = row
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

/** A task, and whose it has to be where that matters. */
export interface Asked {
  id: string;
  owner: string | undefined;
}

/** The heads of all of these tasks. */
export async function readHeadRows(redis: Redis, asked: readonly Asked[]): Promise<Row[]> {
  const ids = asked.map(({ id }) => id);
  const marks = asked.map(({ owner }) => markOf(owner));
  const rows = await read(redis, { ids, marks, fields: HEAD_FIELDS, bytesMax: NO_END });
  return rows.map((row) => row.map(present));
}

/**
 * Tasks with their results, from the first on, as long as those are at most so many bytes altogether; at least one.
 * `undefined` for a first one whose result is larger by itself.
 */
export async function readRows(
  redis: Redis,
  ids: readonly string[],
  owner: string | undefined,
  bytesMax: number,
): Promise<Row[] | undefined> {
  const rows = await read(redis, { ids, marks: [markOf(owner)], fields: FIELDS, bytesMax });
  return typeof rows[0]?.[FIELDS.length] === 'number' ? undefined : rows.map((row) => row.map(present));
}

/** One task, however large its result: no script copies it. */
export function readRow(redis: Redis, id: string): Promise<Row> {
  return redis.hmgetBuffer(taskKeyOf(id), ...FIELDS, 'end');
}

/** Bytes of the results in rows. */
export function endBytesOf(rows: readonly Row[]): number {
  return rows.reduce((sum, row) => sum + (row[FIELDS.length]?.length ?? 0), 0);
}

/** What stands in the submission of an owner's task, and in no other: a quote within a text is written otherwise. */
function markOf(owner: string | undefined): string {
  return owner === undefined ? ANY_OWNER : `"owner":${ownerText(owner)}`;
}

interface Read {
  ids: readonly string[];
  marks: readonly string[];
  fields: readonly string[];
  bytesMax: number | typeof NO_END;
}

function read(redis: Redis, { ids, marks, fields, bytesMax }: Read) {
  return redis.foretellReadBuffer(ids.length, ...ids.map(taskKeyOf), fields.length, bytesMax, ...fields, ...marks);
}

function present(value: Buffer | number | null): Buffer | null {
  return typeof value === 'number' ? null : value;
}
