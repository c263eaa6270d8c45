import type { IncomingMessage, ServerResponse } from 'node:http';
import { InputError, Overloaded } from '../errors.ts';

/** Requests at once, streams included: a stream takes some 40 KiB, and a file descriptor. */
const OPEN_MAX = 10_000;

/**
 * Bytes of bodies and of results that requests hold, altogether. Four bodies of 60 MiB of numbers, at once and again and again, have
 * a process take 1 GiB, in a heap that is 2 to 4 GiB where nobody says otherwise.
 */
const HELD_BYTES_MAX = 256 * 1024 * 1024;

/**
 * Results that one answer may hold, unless it is a single one: as JSON they take up to seven times as much, and V8 has no
 * string of more than 512 MiB.
 */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

/** Tensors that one request's files may become: a picture of a few bytes is a tensor as large as the model takes. */
const FILE_TENSORS_BYTES_MAX = 128 * 1024 * 1024;

/** What one request's files may be while they are unpacked, one after the other: some seconds of a core. */
const UNPACKED_BYTES_MAX = 1024 * 1024 * 1024;

/** What requests may hold of this process's memory. */
export interface Load {
  /** Counts a request in, with its body; it is counted out when its response closes. `undefined` where there is no room. */
  admit(request: IncomingMessage, response: ServerResponse): RequestLoad | undefined;
}

/** What one request holds. */
export interface RequestLoad {
  /** Counts memory of this request in. Throws RATE_LIMITED if this process holds too much. */
  take(bytes: number): void;
  /**
   * Counts in what an event of a stream holds until it is written, in place of what the one before it held. Throws RATE_LIMITED if this process holds
   * too much.
   */
  holdEvent(bytes: number): void;
  /**
   * Counts a task's results in that are to stand in the answer. Throws INVALID_INPUT with this path if they are more than one answer
   * may hold, RATE_LIMITED if they are more than this process may.
   */
  hold(bytes: number, path: (string | number)[]): void;
  /** Counts a tensor in that a file becomes. Throws INVALID_INPUT if a request's are too many, RATE_LIMITED if this process's are. */
  holdTensor(bytes: number, path: (string | number)[]): void;
  /** Counts what a file is while it is unpacked. Throws INVALID_INPUT if a request's are too much; also where nobody waits any more. */
  unpack(bytes: number, path: (string | number)[]): void;
}

export interface LoadLimits {
  /** The largest body; one that does not say its length counts as this. */
  bodyLimitBytes: number;
  /** @default OPEN_MAX */
  openMax?: number;
  /** @default HELD_BYTES_MAX */
  heldBytesMax?: number;
}

export function createLoad({ bodyLimitBytes, openMax = OPEN_MAX, heldBytesMax = HELD_BYTES_MAX }: LoadLimits): Load {
  // One of the largest must fit, whatever the settings say.
  const bytesMax = Math.max(heldBytesMax, bodyLimitBytes);
  let open = 0;
  let heldBytes = 0;
  const take = (bytes: number) => {
    if (heldBytes + bytes > bytesMax) {
      throw new Overloaded('this process holds as many bytes of requests and results as it may; try again later');
    }
    heldBytes += bytes;
  };

  return {
    admit(request, response) {
      const bodyBytes = bodyBytesOf(request, bodyLimitBytes);
      if (open >= openMax || heldBytes + bodyBytes > bytesMax) return undefined;
      let answerBytes = 0;
      let tensorBytes = 0;
      let unpackedBytes = 0;
      let parsedBytes = 0;
      let eventBytes = 0;
      open += 1;
      heldBytes += bodyBytes;
      response.once('close', () => {
        open -= 1;
        // Until now: the inputs are arguments of an operation that may wait for its tasks.
        heldBytes -= bodyBytes + answerBytes + tensorBytes + parsedBytes + eventBytes;
      });
      return {
        take(bytes) {
          if (response.closed) return;
          take(bytes);
          parsedBytes += bytes;
        },
        holdEvent(bytes) {
          if (response.closed) return;
          heldBytes -= eventBytes;
          eventBytes = 0;
          take(bytes);
          eventBytes = bytes;
        },
        hold(bytes, path) {
          // Whoever was to be answered has gone, and so has what was held for them.
          if (response.closed) return;
          if (answerBytes > 0 && answerBytes + bytes > ANSWER_BYTES_MAX)
            throw tooMany(path, 'results', ANSWER_BYTES_MAX);
          take(bytes);
          answerBytes += bytes;
        },
        holdTensor(bytes, path) {
          if (response.closed) throw nobodyThere();
          if (tensorBytes + bytes > FILE_TENSORS_BYTES_MAX) throw tooMany(path, 'tensors', FILE_TENSORS_BYTES_MAX);
          take(bytes);
          tensorBytes += bytes;
        },
        unpack(bytes, path) {
          if (response.closed) throw nobodyThere();
          if (unpackedBytes + bytes > UNPACKED_BYTES_MAX) throw tooMany(path, 'unpacked files', UNPACKED_BYTES_MAX);
          unpackedBytes += bytes;
        },
      };
    },
  };
}

function bodyBytesOf({ headers }: IncomingMessage, bodyLimitBytes: number): number {
  if (headers['transfer-encoding'] !== undefined) return bodyLimitBytes;
  // A body that says it is larger is refused unread.
  return Math.min(Number(headers['content-length'] ?? 0), bodyLimitBytes);
}

/** The client has gone: what it sent is not worth another second. */
function nobodyThere(): Overloaded {
  return new Overloaded('whoever was to be answered has gone');
}

function tooMany(path: (string | number)[], what: string, bytesMax: number): InputError {
  const message = `expected ${what} of at most ${bytesMax} bytes altogether; name fewer in one operation`;
  return new InputError('INVALID_INPUT', [{ path, message }]);
}
