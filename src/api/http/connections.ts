import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Bound } from '../../ledger/bound.ts';
import type { ArrivingRequest } from './arriving-request.ts';
import { networkOf } from './client-address.ts';
import { Connection, type Exchange } from './connection.ts';

/** How often connections are looked at. One timer for all: a timer each would cost every request more than all that is done here. */
const SWEEP_MS = 1_000;

/** The part of the process's connections that may be idle without ever having carried a request that was let in. */
const UNKNOWN_PART = 1 / 4;

/** One that is younger is spared as long as there are fewer than twice as many: its first request may be on its way. */
const YOUNG_MS = 1_000;

/** Connections that are looked at for an idle one. */
const SEARCHED_MAX = 1_000;

export interface ConnectionsOptions {
  bound: Bound;
  handle: (request: ArrivingRequest, response: ServerResponse, connection: Connection) => void;
}

/** All connections of a server. */
export interface Connections {
  add(socket: Socket): void;
  /** Has a request answered, in its connection's turn. */
  answer(request: ArrivingRequest, response: ServerResponse): void;
  /** What is being answered, on all of them. */
  exchanges(): Exchange[];
  /** Ends those that move too little; called by itself once a second. */
  check(now: number): void;
  close(): void;
}

const BUSY = JSON.stringify({
  errors: [
    {
      message: 'your address has its maximum of connections to this process, and all are in use; try again later',
      extensions: { code: 'RATE_LIMITED', retryable: true, retryAfterMs: 1_000 },
    },
  ],
});
const BUSY_ANSWER = `HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${BUSY.length}\r\n\r\n${BUSY}`;

/**
 * Bounds connections, by the address that they come from, and what each does: one answer at a time, a body and an answer at a least rate.
 * Where there are too many, the longest idle one of the same address makes room, so that who comes new gets in.
 */
export function createConnections({ bound, handle }: ConnectionsOptions): Connections {
  const bySocket = new Map<Socket, Connection>();
  /** By address, oldest first: all of them, and those that wait for a request and never carried one that was let in. */
  const all = new Groups();
  const unknown = new Groups();
  const unknownMax = Math.max(4, Math.floor(bound.max * UNKNOWN_PART));

  // Of those that are known, which carry nearly all requests, nothing is written down at each.
  const onIdle = (connection: Connection) => {
    if (!connection.isKnown) unknown.add(connection);
  };
  const onBusy = (connection: Connection) => {
    if (!connection.isKnown) unknown.delete(connection);
  };
  const onClose = (connection: Connection) => {
    all.delete(connection);
    unknown.delete(connection);
    bySocket.delete(connection.socket);
    bound.give(connection.address, 1);
  };

  /** Closes idle connections without a key of those who have most of them. */
  function limitUnknown(now: number): void {
    while (unknown.size > unknownMax) {
      const [oldest] = unknown.largest();
      if (!oldest) return;
      const isYoung = now - oldest.idleSince < YOUNG_MS;
      if (isYoung && unknown.size <= 2 * unknownMax) return;
      oldest.destroy();
    }
  }

  function check(now: number): void {
    for (const connection of bySocket.values()) connection.check(now);
    limitUnknown(now);
  }

  const sweep = setInterval(() => check(performance.now()), SWEEP_MS).unref();

  return {
    add(socket) {
      const address = networkOf(socket.remoteAddress ?? '');
      if (!bound.hasRoom(address, 1)) longestIdle(all.of(address))?.destroy();
      try {
        bound.take(address, 1);
      } catch {
        // Nothing was read of it: closed in the usual way the answer would be lost with what the client has sent.
        socket.on('error', () => undefined);
        socket.end(BUSY_ANSWER, () => socket.destroy());
        return;
      }
      const connection = new Connection(socket, address, { handle, onIdle, onBusy, onClose });
      bySocket.set(socket, connection);
      all.add(connection);
      onIdle(connection);
      limitUnknown(connection.idleSince);
    },
    answer(request, response) {
      const connection = bySocket.get(request.socket);
      if (connection) connection.answer(request, response);
      else request.socket.destroy();
    },
    exchanges: () => [...bySocket.values()].flatMap(({ current }) => current ?? []),
    check,
    close: () => clearInterval(sweep),
  };
}

/** Of the oldest ones: a flood of connections does not have all looked at for each. */
function longestIdle(connections: ReadonlySet<Connection>): Connection | undefined {
  let found: Connection | undefined;
  for (const connection of connections.values().take(SEARCHED_MAX)) {
    if (connection.current) continue;
    if (!found || connection.idleSince < found.idleSince) found = connection;
  }
  return found;
}

/** Connections by their address, each group with the oldest first. */
class Groups {
  readonly #groups = new Map<string, Set<Connection>>();
  size = 0;

  of(address: string): ReadonlySet<Connection> {
    return this.#groups.get(address) ?? new Set();
  }

  add(connection: Connection): void {
    const group = this.#groups.get(connection.address);
    if (group) group.add(connection);
    else this.#groups.set(connection.address, new Set([connection]));
    this.size += 1;
  }

  delete(connection: Connection): void {
    const group = this.#groups.get(connection.address);
    if (!group?.delete(connection)) return;
    this.size -= 1;
    if (group.size === 0) this.#groups.delete(connection.address);
  }

  largest(): ReadonlySet<Connection> {
    let largest: ReadonlySet<Connection> = new Set();
    for (const group of this.#groups.values()) if (group.size > largest.size) largest = group;
    return largest;
  }
}
