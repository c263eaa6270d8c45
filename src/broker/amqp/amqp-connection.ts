import { EventEmitter, once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ChannelModel, connect, type SocketOptions } from 'amqplib';
import { abortable } from '../../async/abortable.ts';
import { backOffMs } from '../../async/back-off.ts';
import { within } from '../../async/within.ts';
import type { Log } from '../../process/log.ts';
import type { BrokerObserver } from '../broker.ts';
import { gatherWrites } from './amqp-writes.ts';

/** One connection from its handshake to its end. Whatever part of it fails, all of it is given up: no half-dead states. */
export interface Link {
  readonly model: ChannelModel;
  /** Aborts when the link is given up; the reason is the error that ended it. */
  readonly lost: AbortSignal;
  /** RabbitMQ is short of memory or disk and reads nothing from connections that publish. */
  isBlocked(): boolean;
  /** Gives the link up; the supervisor makes another. */
  drop(reason: Error): void;
}

/** Keeps one connection to RabbitMQ, and what was built on it, through every loss. */
export interface AmqpConnection<Built> {
  /** What was built on the link of the moment; `undefined` while there is none. */
  current(): Built | undefined;
  /** Waits for a link; rejects when the signal aborts or the connection is closed. */
  ready(signal: AbortSignal): Promise<Built>;
  /** Ends within seconds whatever the state, and leaves no handle open. */
  close(): Promise<void>;
}

export interface ConnectionOptions<Built> {
  /** Comma-separated if RabbitMQ is a cluster: the next one is tried if one is lost or not reachable. */
  brokerUrl: string;
  /** Tells the connections of a process apart, here in the log and there in RabbitMQ's list. */
  purpose: 'publishing' | 'consuming';
  /** Opens channels and declares what is needed; only then is the link `current`. */
  build: (link: Link) => Promise<Built>;
  observer: BrokerObserver;
  log: Log;
}

/** Short, since of several addresses the next may answer. */
const CONNECT_TIMEOUT_MS = 5_000;
const BUILD_TIMEOUT_MS = 10_000;
/** A close that is not answered by then ends with the socket. */
const CLOSE_TIMEOUT_MS = 1_000;
export const BACK_OFF = { minMs: 100, maxMs: 5_000 };
/** Seconds; RabbitMQ's 60 would notice a vanished peer after two to three minutes. */
const HEARTBEAT = '10';

/** Connects in the background, again and again. amqplib's own recovery loses errors that come while it sets up. */
export function superviseConnection<Built>(options: ConnectionOptions<Built>): AmqpConnection<Built> {
  const { log, purpose, observer } = options;
  const addresses = options.brokerUrl.split(',');
  // A fleet that begins at random addresses is spread over the nodes.
  let turn = Math.floor(Math.random() * addresses.length);
  let fields = { connection: purpose, broker: '' };
  const closing = new AbortController();
  const changes = new EventEmitter().setMaxListeners(0);
  let built: Built | undefined;
  let isDown = false;
  let wasUp = false;

  const tell = (error: unknown) => {
    // Once per loss: the attempts that follow would say the same every few seconds.
    if (!isDown && !closing.signal.aborted) {
      log.warn({ ...fields, err: error }, wasUp ? 'broker lost' : 'broker not reachable yet');
    }
    isDown = true;
  };

  async function live(): Promise<void> {
    const address = addresses[turn++ % addresses.length] ?? options.brokerUrl;
    fields = { connection: purpose, broker: new URL(address).host };
    const { link, shut } = await openLink(address, purpose, closing.signal);
    const timer = setTimeout(() => link.drop(new Error('the topology was not declared in time')), BUILD_TIMEOUT_MS);
    try {
      built = await unlessLost(link, options.build(link));
      clearTimeout(timer);
      log.info(fields, isDown && wasUp ? 'broker regained' : 'broker connected');
      if (wasUp) observer.onReconnect?.(purpose);
      isDown = false;
      wasUp = true;
      changes.emit('built');
      await unlessLost(link, new Promise<never>(() => undefined));
    } finally {
      clearTimeout(timer);
      built = undefined;
      link.drop(new Error('broker connection given up'));
      await shut();
    }
  }

  async function supervise(): Promise<void> {
    let failures = 0;
    while (!closing.signal.aborted) {
      const startedAt = performance.now();
      await live().catch(tell);
      failures = performance.now() - startedAt > BACK_OFF.maxMs ? 0 : failures + 1;
      await sleep(backOffMs(BACK_OFF, failures), undefined, { signal: closing.signal }).catch(() => undefined);
    }
  }
  const supervised = supervise();

  return {
    current: () => built,
    ready: async (signal) => {
      if (built !== undefined) return built;
      const either = AbortSignal.any([signal, closing.signal]);
      while (built === undefined) await once(changes, 'built', { signal: either });
      return built;
    },
    close: async () => {
      closing.abort(new Error('the broker is closed'));
      await supervised;
    },
  };
}

/** What was promised, or the error that ended the link: a reply that no longer comes would be waited for in vain. */
export async function unlessLost<T>(link: Link, promised: Promise<T>): Promise<T> {
  try {
    return await abortable(link.lost, promised);
  } catch (error) {
    throw link.lost.aborted ? link.lost.reason : error;
  }
}

interface OpenLink {
  link: Link;
  /** Says goodbye if somebody still answers, then destroys the socket. */
  shut: () => Promise<void>;
}

async function openLink(address: string, purpose: string, closing: AbortSignal): Promise<OpenLink> {
  // amqplib hands its options to `net.connect`, whose signal is the one way to destroy the socket of a peer that is silent.
  const socket = new AbortController();
  const giveUp = () => socket.abort();
  closing.addEventListener('abort', giveUp);
  const socketOptions: SocketOptions & { signal: AbortSignal } = {
    noDelay: true,
    timeout: CONNECT_TIMEOUT_MS,
    signal: socket.signal,
    clientProperties: { connection_name: `foretell ${purpose}` },
  };
  const model = await connect(withHeartbeat(address), socketOptions).finally(() => {
    closing.removeEventListener('abort', giveUp);
  });
  gatherWrites(model);
  const gone = new AbortController();
  const drop = (reason: Error) => gone.abort(reason);
  let isBlocked = false;
  model.on('error', drop);
  model.on('close', (error) => drop(error ?? new Error('connection closed')));
  model.on('blocked', () => {
    isBlocked = true;
  });
  model.on('unblocked', () => {
    isBlocked = false;
  });
  const onClosing = () => drop(new Error('the broker is closed'));
  closing.addEventListener('abort', onClosing);
  if (closing.aborted) onClosing();
  return {
    link: { model, lost: gone.signal, isBlocked: () => isBlocked, drop },
    shut: async () => {
      closing.removeEventListener('abort', onClosing);
      await within(CLOSE_TIMEOUT_MS, model.close()).catch(() => undefined);
      socket.abort();
    },
  };
}

function withHeartbeat(address: string): string {
  const url = new URL(address);
  if (!url.searchParams.has('heartbeat')) url.searchParams.set('heartbeat', HEARTBEAT);
  return url.href;
}
