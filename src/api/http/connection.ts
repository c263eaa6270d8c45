import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { ArrivingRequest, BodyWatch } from './arriving-request.ts';
import { refuse } from './refusal.ts';

/** A body that is not complete, and an answer that is not read, have to move so many bytes within this time: a slow phone moves eight times as much. */
export const RATE_BYTES = 10 * 1024;
export const RATE_WINDOW_MS = 10_000;

/** How long a body may still come that nobody wants: a client that is cut while it sends would not read why. */
const LINGER_MS = 5_000;

/** The same, in bytes: a client that sends for ever is cut. */
export const DRAINED_BYTES_MAX = 16 * 1024 * 1024;

/** A request and its answer. */
export interface Exchange {
  request: ArrivingRequest;
  response: ServerResponse;
}

/** What was moved when it was last found to be enough. */
interface Window {
  at: number;
  bytes: number;
}

interface ConnectionEvents {
  handle: (request: ArrivingRequest, response: ServerResponse, connection: Connection) => void;
  /** It waits for a request; before and after each. */
  onIdle: (connection: Connection) => void;
  onBusy: (connection: Connection) => void;
  /** Once. */
  onClose: (connection: Connection) => void;
}

/**
 * One client's connection. It has one request answered at a time: what was sent ahead waits, unread as far as it can be, and
 * the event loop is left to others in between.
 */
export class Connection implements BodyWatch {
  readonly socket: Socket;
  /** Whose connection it is: a network's, see `networkOf`. */
  readonly address: string;
  /** It carried a request that was let in. */
  isKnown = false;
  idleSince = performance.now();
  readonly #events: ConnectionEvents;
  #current: Exchange | undefined;
  readonly #waiting: Exchange[] = [];
  #sent: Window | undefined;
  #received: Window | undefined;
  #lingersSince: number | undefined;
  /** The answer is out, and not yet all of the request in. */
  #isAnswered = false;
  #drainedBytes = 0;
  #isClosed = false;

  constructor(socket: Socket, address: string, events: ConnectionEvents) {
    this.socket = socket;
    this.address = address;
    this.#events = events;
    socket.once('close', () => this.#close());
  }

  /** What it is answering. */
  get current(): Exchange | undefined {
    return this.#current;
  }

  answer(request: ArrivingRequest, response: ServerResponse): void {
    if (this.#current && !this.#isAnswered) {
      this.#waiting.push({ request, response });
      this.socket.pause();
      return;
    }
    this.#events.onBusy(this);
    this.#begin({ request, response });
  }

  /** Ends it at once where it moves too little. To be called now and then. */
  check(now: number): void {
    this.#checkAnswer(now);
    this.#checkBody(now);
  }

  /** Of a body that nobody counts: what comes after the answer is let go. */
  receive(bytes: number): boolean {
    return !this.#current?.response.headersSent || this.drain(bytes);
  }

  end(): void {}

  /** Lets a part of a body go. */
  drain(bytes: number): false {
    this.#drainedBytes += bytes;
    if (this.#drainedBytes > DRAINED_BYTES_MAX) this.destroy();
    return false;
  }

  destroy(): void {
    this.socket.destroy();
    this.#close();
  }

  #begin(exchange: Exchange): void {
    this.#current = exchange;
    this.#drainedBytes = 0;
    exchange.request.body = this;
    this.#received = undefined;
    this.#lingersSince = undefined;
    this.#isAnswered = false;
    exchange.response.once('close', () => this.#end());
    this.#events.handle(exchange.request, exchange.response, this);
  }

  /** Its answer is out. */
  #end(): void {
    if (this.#isClosed || this.socket.destroyed) return;
    if (this.#waiting.length > 0) {
      // Others get to the event loop before what was sent ahead.
      setImmediate(() => this.#next());
      return;
    }
    if (this.#current?.request.complete === true) this.#idle();
    else this.#isAnswered = true;
  }

  #next(): void {
    const next = this.#waiting.shift();
    if (this.#waiting.length === 0) this.socket.resume();
    if (next && !this.#isClosed) this.#begin(next);
  }

  #idle(): void {
    this.#current = undefined;
    this.#isAnswered = false;
    this.idleSince = performance.now();
    this.#events.onIdle(this);
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#waiting.length = 0;
    this.#events.onClose(this);
  }

  /** An answer that is not read holds memory. A stream that has nothing to send waits for nobody. */
  #checkAnswer(now: number): void {
    if (this.socket.writableLength === 0) this.#sent = undefined;
    else {
      this.#sent = moved(this.#sent, { at: now, bytes: sentBytes(this.socket) });
      if (!this.#sent) this.destroy();
    }
  }

  #checkBody(now: number): void {
    if (!this.#current) return;
    const { request, response } = this.#current;
    if (request.complete) {
      if (this.#isAnswered) this.#idle();
      return;
    }
    if (response.headersSent) {
      this.#lingersSince ??= now;
      if (now - this.#lingersSince > LINGER_MS) this.destroy();
      return;
    }
    this.#received = moved(this.#received, { at: now, bytes: request.bodyBytes });
    if (this.#received) return;
    const message = `expected the rest of the body: at least ${RATE_BYTES} bytes in ${RATE_WINDOW_MS / 1_000} s`;
    response.setHeader('connection', 'close');
    refuse(response, 408, 'BAD_USER_INPUT', message);
  }
}

/** Where the next window begins; `undefined` where too little was moved in the last one. */
function moved(window: Window | undefined, now: Window): Window | undefined {
  if (!window || now.bytes - window.bytes >= RATE_BYTES) return now;
  return now.at - window.at < RATE_WINDOW_MS ? window : undefined;
}

/**
 * What the kernel has taken, which `bytesWritten` does not tell of a write that is under way. Node's own time-out looks at the same; where
 * it should be called otherwise one day, a large answer has to be out within the window.
 */
function sentBytes(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle');
  if (typeof handle !== 'object' || handle === null) return socket.bytesWritten;
  const [written, queued]: unknown[] = [Reflect.get(handle, 'bytesWritten'), Reflect.get(handle, 'writeQueueSize')];
  return typeof written === 'number' && typeof queued === 'number' ? written - queued : socket.bytesWritten;
}
