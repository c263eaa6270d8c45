import { readFileSync } from 'node:fs';
import { getHeapStatistics } from 'node:v8';
import type { BoundName } from './ledger.ts';
import { LEDGER_DEFAULTS } from './ledger.ts';

/** What the machine lets this process have. */
export interface Capacity {
  /** Files and sockets that it may have open: the soft limit. */
  files: number;
  /** Where V8 gives up. */
  heapBytes: number;
}

/** Where nothing says otherwise: what macOS gives, the least of the usual ones after `ulimit -n 1024`. */
const FILES_UNKNOWN = 10_240;
/** Descriptors that broker, store, models and inference processes take. */
const FILES_OF_OUR_OWN = 128;

/**
 * Part of the heap that requests and answers may fill. Parsed JSON and the text of answers lie in it; bodies and tensors count too, and do not.
 * The rest is for everything else, and for what is parsed at the moment.
 */
const HEAP_PART = 0.75;

/** Heap that an open stream or a request in hand takes, and a task that a stream waits for, beside what `memoryBytes` counts. */
const STREAM_HEAP_BYTES = 15_000;
const LISTENER_HEAP_BYTES = 1_260;
/** Parts of the heap that each of them may fill: less than their defaults take of a small one. */
const STREAMS_PART = 0.1;
const LISTENERS_PART = 0.125;

/** Estimated memory of one request: a tensor of 32 MB fits in any form. */
const REQUEST_BYTES_MAX = 256 * 1024 * 1024;
/** At least so many of the largest requests fit at once. */
const LARGEST_REQUESTS = 4;

/** Node raises the soft limit to the hard one before anything of ours runs. */
export function readCapacity(): Capacity {
  return { files: openFilesMax(), heapBytes: getHeapStatistics().heap_size_limit };
}

/**
 * The bounds that a process of this capacity can keep. Half of its connections may be streams, and half requests: who has as many of both as one
 * owner may still has no connection too many.
 */
export function boundsFor({ files, heapBytes }: Capacity): Partial<Record<BoundName, number>> {
  const connections = Math.max(16, Math.min(LEDGER_DEFAULTS.connections, files - FILES_OF_OUR_OWN));
  const half = Math.floor((connections * 0.97) / 2);
  const inHeap = (part: number, bytesEach: number) => Math.floor((heapBytes * part) / bytesEach);
  const streams = Math.min(half, inHeap(STREAMS_PART, STREAM_HEAP_BYTES));
  return {
    connections,
    requests: Math.min(LEDGER_DEFAULTS.requests, streams),
    streams: Math.min(LEDGER_DEFAULTS.streams, streams),
    listeners: Math.min(LEDGER_DEFAULTS.listeners, inHeap(LISTENERS_PART, LISTENER_HEAP_BYTES)),
    memoryBytes: Math.floor(heapBytes * HEAP_PART),
  };
}

/** What one request may take of the memory that all may. */
export function requestBytesMax(memoryBytes: number): number {
  return Math.min(REQUEST_BYTES_MAX, Math.floor(memoryBytes / LARGEST_REQUESTS));
}

/** Whether one request may take as much as it may where there is enough memory. */
export function isFullRequest(bytes: number): boolean {
  return bytes >= REQUEST_BYTES_MAX;
}

function openFilesMax(): number {
  try {
    const [, soft] = /^Max open files +(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    if (soft === 'unlimited') return Number.MAX_SAFE_INTEGER;
    return Number(soft ?? FILES_UNKNOWN);
  } catch {
    return FILES_UNKNOWN;
  }
}
