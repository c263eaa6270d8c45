import { Bound } from './bound.ts';

/** What a process bounds, each with what a sentence calls it. The unit is one, or a byte where the name says so. */
const WHAT = {
  /** Sockets of clients. */
  connections: 'connections',
  /** Requests that are being read or answered; not streams. */
  requests: 'requests in progress',
  /** Subscriptions that are open. */
  streams: 'open streams',
  /** Tasks that streams wait for, each time they do. */
  listeners: 'tasks that streams wait for',
  /** What requests and their answers take, in and out, estimated before it is taken. */
  memoryBytes: 'bytes of requests and answers',
} as const;

export type BoundName = keyof typeof WHAT;

export const BOUND_NAMES = Object.keys(WHAT) as readonly BoundName[];

/**
 * What a process holds for its clients: every bound of it, and who holds how much of each. One rule for all, that of `shareOf`, so that
 * what one owner takes leaves room for the others.
 */
export type Ledger = Readonly<Record<BoundName, Bound>>;

/** For a machine that lets a process have all of it; see `boundsFor`. Room for ten thousand of a lone owner, who gets nine tenths. A stream takes some 15 kB, and a file descriptor. */
const STREAMS_MAX = 11_112;
/** Some 400 MiB of listeners and of what they know of their tasks. */
const LISTENERS_MAX = 333_334;
const REQUESTS_MAX = 11_112;
const CONNECTIONS_MAX = 23_000;
const MEMORY_BYTES_MAX = 1024 * 1024 * 1024;

export const LEDGER_DEFAULTS: Readonly<Record<BoundName, number>> = {
  connections: CONNECTIONS_MAX,
  requests: REQUESTS_MAX,
  streams: STREAMS_MAX,
  listeners: LISTENERS_MAX,
  memoryBytes: MEMORY_BYTES_MAX,
};

export function createLedger(maxima: Partial<Record<BoundName, number>> = {}): Ledger {
  const bound = (name: BoundName) => new Bound({ what: WHAT[name], max: maxima[name] ?? LEDGER_DEFAULTS[name] });
  return {
    connections: bound('connections'),
    requests: bound('requests'),
    streams: bound('streams'),
    listeners: bound('listeners'),
    memoryBytes: bound('memoryBytes'),
  };
}
