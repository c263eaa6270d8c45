import { StoreFull } from '../errors.ts';
import { shareOf } from '../ledger/share.ts';

/**
 * What a record counts from its submission on, whatever it really takes: Redis 7 takes some 0.7 kB for a queued one and 0.9 kB, beside its result,
 * for a finished one. Large inputs and results count by what is allocated for them.
 */
export const RECORD_BYTES = 1024;

/** What is allocated beside the bytes of a value. */
export const HEADER_BYTES = 16;

/** Memory that a value takes: of the sizes that jemalloc gives out there are four to each doubling, so that 8 MiB and a header take 10 MiB. */
export function allocatedBytes(bytes: number): number {
  if (bytes === 0) return 0;
  const size = bytes + HEADER_BYTES;
  const step = 2 ** (Math.floor(Math.log2(size)) - 2);
  return Math.ceil(size / step) * step;
}

/** An end that takes no more is always stored: the task's record was counted when it was accepted. */
export const SMALL_END_BYTES = 4 * 1024;

/** What tasks take of a store. */
export interface StoreLevel {
  /** Bytes of all records, large inputs and results, as they are counted. */
  bytes: number;
  /** The most that they may take; `undefined` where nothing bounds them. */
  limit: number | undefined;
  /** An owner who holds nothing could not submit the smallest task. */
  isFull: boolean;
}

/**
 * How much of a store each owner may take: nine times what is free (`shareOf`), so that nobody can take all of it. Counted are records, inputs that
 * the store keeps, and results.
 */
export interface StoreRoom {
  /**
   * Counts in what is about to be written. Rejects with `StoreFull` where the owner may not hold as much; then nothing is counted. The function that it
   * resolves with is to be called once, when all is written or nothing will be.
   */
  take(owner: string, bytes: number): Promise<() => void>;
  /** As it was read last; a look at it has it read again soon. */
  level(): StoreLevel;
}

/** Bytes that an owner holds, that all hold together, and the most that all may. */
export interface Holding {
  held: number;
  used: number;
  max: number;
}

export function hasRoom({ held, used, max }: Holding, bytes: number): boolean {
  return held + bytes <= shareOf(max, used + bytes);
}

/** Whether an owner who holds nothing finds no room for one more task. */
export function isFull({ used, max }: Omit<Holding, 'held'>): boolean {
  return !hasRoom({ held: 0, used, max }, RECORD_BYTES);
}

/** When to come back, in milliseconds, where nothing is known of when the owner's results expire. */
const RETRY_UNKNOWN_MS = 5_000;

/** The refusal, in a sentence that says whose limit it was. */
export function refusal({ held, used, max }: Holding, bytes: number, retryAfterMs = RETRY_UNKNOWN_MS): StoreFull {
  // Beyond this the owner would be refused also where nobody else is there.
  const alone = shareOf(max, 0.9 * max);
  const isOwn = held + bytes > alone || held > used / 2;
  const whose = isOwn
    ? `you hold ${held} (an owner may hold at most nine times what is free)`
    : `others hold ${used - held}`;
  const message = `the store has no room for ${bytes} more bytes: the limit is ${max} bytes, and ${whose}; try again when results have expired`;
  return new StoreFull(message, { retryAfterMs });
}
