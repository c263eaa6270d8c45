import type { IncomingMessage, ServerResponse } from 'node:http';
import { AppError, InputError, Overloaded } from '../../errors.ts';
import type { Bound } from '../../ledger/bound.ts';
import { requestBytesMax } from '../../ledger/capacity.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { createHeavyWork, type HeavyWork } from './heavy-work.ts';

/**
 * Results that one answer may hold, unless it is a single one: as JSON they take up to seven times as much, and V8 has no
 * string of more than 512 MiB.
 */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

/**
 * Tensors that one request may become: a picture of a few bytes is a tensor as large as the model takes, and a variable that a document
 * names a hundred times is a hundred tensors.
 */
const TENSORS_BYTES_MAX = 128 * 1024 * 1024;

/** What one request's files may be while they are unpacked, one after the other: some seconds of a core. */
const UNPACKED_BYTES_MAX = 1024 * 1024 * 1024;

/** What a client accepts that asks for a stream. */
const STREAM_ACCEPTED = /text\/event-stream|multipart\/mixed/;
/** So little of a body is not counted: as many requests as there may be take less than 50 MiB of it. */
const SMALL_BYTES = 4 * 1024;

/** Parsed to so much, parse, check and coercion take long enough each to take a turn of their own. */
const LARGE_BYTES = 2 * 1024 * 1024;

/** What requests may hold of this process, each counted for an owner. */
export interface Load {
  /**
   * Counts a request in; it is counted out, with all that it holds, when its response closes. Throws RATE_LIMITED.
   * @param owner whose share of each bound it is counted for: a key's owner, or an address
   */
  admit(request: IncomingMessage, response: ServerResponse, owner: string): RequestLoad;
}

/** What one request holds. Whatever throws here throws before anything is taken. */
export interface RequestLoad {
  /** Whose share it is. */
  readonly owner: string;
  /** Counts memory of this request in. Throws RATE_LIMITED, or INVALID_INPUT where one request may not take so much. */
  take(bytes: number): void;
  /** Counts a part of the body in. Throws RATE_LIMITED. */
  receive(bytes: number): void;
  /** Counts in what an event of a stream holds until it is written, in place of what the one before it held. Throws RATE_LIMITED. */
  holdEvent(bytes: number): void;
  /**
   * Counts a task's results in that are to stand in the answer. Throws INVALID_INPUT with this path if they are more than one answer
   * may hold, RATE_LIMITED if they are more than this process may.
   */
  hold(bytes: number, path: (string | number)[]): void;
  /** Counts a tensor in that an input or a file becomes. Throws INVALID_INPUT if a request's are too many, RATE_LIMITED if this process's are. */
  holdTensor(bytes: number, path: (string | number)[]): void;
  /** Counts what a file is while it is unpacked. Throws INVALID_INPUT if a request's are too much; also where nobody waits any more. */
  unpack(bytes: number, path: (string | number)[]): void;
  /**
   * Waits until it is this owner's turn to hold the event loop for so many bytes of JSON or results; `undefined` where they are few and
   * nothing has to be waited for. The turn is what follows without waiting again.
   */
  turn(bytes: number): Promise<void> | undefined;
  /** The same for a further step of the work on this request, where what was parsed is so large that each step takes long. */
  step(): Promise<void> | undefined;
}

export function createLoad(ledger: Ledger): Load {
  const heavyWork = createHeavyWork();
  return {
    admit(request, response, owner) {
      // An EventSource asks so for the one thing that it can read, and Apollo's clients for a subscription.
      const isStream = STREAM_ACCEPTED.test(request.headers.accept ?? '');
      const load = new HeldByRequest({ ledger, heavyWork, response, owner });
      load.enter(isStream ? ledger.streams : ledger.requests);
      return load;
    },
  };
}

interface HeldOptions {
  ledger: Ledger;
  heavyWork: HeavyWork;
  response: ServerResponse;
  owner: string;
}

class HeldByRequest implements RequestLoad {
  readonly owner: string;
  readonly #memory: Bound;
  readonly #heavyWork: HeavyWork;
  readonly #response: ServerResponse;
  #bytes = 0;
  #uncountedBytes = 0;
  #parsedBytes = 0;
  #answerBytes = 0;
  #eventBytes = 0;
  #tensorBytes = 0;
  #unpackedBytes = 0;

  constructor({ ledger, heavyWork, response, owner }: HeldOptions) {
    this.owner = owner;
    this.#memory = ledger.memoryBytes;
    this.#heavyWork = heavyWork;
    this.#response = response;
  }

  enter(bound: Bound): void {
    bound.take(this.owner, 1);
    this.#response.once('close', () => {
      bound.give(this.owner, 1);
      // Until now: the inputs are arguments of an operation that may wait for its tasks.
      if (this.#bytes > 0) this.#memory.give(this.owner, this.#bytes);
    });
  }

  // Handed on without its request by who only counts.
  readonly take = (bytes: number): void => {
    if (this.#response.closed) return;
    const max = requestBytesMax(this.#memory.max);
    if (this.#parsedBytes + bytes > max) {
      const message = `expected a request that takes at most ${max} bytes of memory; send large tensors as base64, or fewer inputs at once`;
      throw new AppError('INVALID_INPUT', message);
    }
    this.#count(bytes);
    this.#parsedBytes += bytes;
  };

  receive(bytes: number): void {
    this.#uncountedBytes += bytes;
    if (this.#uncountedBytes < SMALL_BYTES) return;
    this.#count(this.#uncountedBytes);
    this.#uncountedBytes = 0;
  }

  holdEvent(bytes: number): void {
    if (this.#response.closed) return;
    this.#memory.give(this.owner, this.#eventBytes);
    this.#bytes -= this.#eventBytes;
    this.#eventBytes = 0;
    this.#count(bytes);
    this.#eventBytes = bytes;
  }

  hold(bytes: number, path: (string | number)[]): void {
    if (this.#response.closed) return;
    if (this.#answerBytes > 0 && this.#answerBytes + bytes > ANSWER_BYTES_MAX)
      throw tooMany(path, 'results', ANSWER_BYTES_MAX);
    this.#count(bytes);
    this.#answerBytes += bytes;
  }

  holdTensor(bytes: number, path: (string | number)[]): void {
    if (this.#response.closed) throw nobodyThere();
    if (this.#tensorBytes + bytes > TENSORS_BYTES_MAX) throw tooMany(path, 'tensors', TENSORS_BYTES_MAX);
    this.#count(bytes);
    this.#tensorBytes += bytes;
  }

  unpack(bytes: number, path: (string | number)[]): void {
    if (this.#response.closed) throw nobodyThere();
    if (this.#unpackedBytes + bytes > UNPACKED_BYTES_MAX) throw tooMany(path, 'unpacked files', UNPACKED_BYTES_MAX);
    this.#unpackedBytes += bytes;
  }

  turn(bytes: number): Promise<void> | undefined {
    return this.#heavyWork.enter(this.owner, bytes);
  }

  step(): Promise<void> | undefined {
    return this.#parsedBytes < LARGE_BYTES ? undefined : this.turn(this.#parsedBytes);
  }

  #count(bytes: number): void {
    if (this.#response.closed) return;
    this.#memory.take(this.owner, bytes);
    this.#bytes += bytes;
  }
}

/** The client has gone: what it sent is not worth another second. */
function nobodyThere(): Overloaded {
  return new Overloaded('the client has disconnected');
}

function tooMany(path: (string | number)[], what: string, bytesMax: number): InputError {
  const message = `expected ${what} of at most ${bytesMax} bytes altogether; name fewer in one operation`;
  return new InputError('INVALID_INPUT', [{ path, message }]);
}
