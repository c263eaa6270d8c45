import type { Datatype, TensorSpec } from '../tensor/tensor.ts';

/** Makes the tensor of one input out of a file, as the model's manifest says. Another kind of file is another of these. */
export interface MediaReader {
  /** What such a file is called: its scalar in GraphQL, and a field of that name in an input. */
  kind: 'Image';
  /** Of the tensor, without the batch. */
  shape: number[];
  /** What the tensor takes. */
  bytes: number;
  /** The tensor's data. Rejects with a `MediaFault` where the file is not what was expected. */
  read(file: Uint8Array, allowance: MediaAllowance): Promise<Uint8Array>;
}

/** What reading an input may take of the process. Both counts throw where it would be too much. */
export interface MediaAllowance {
  /** Who pays for it: files of several owners are read in turns. */
  owner: string;
  /** Counts the bytes that a file becomes when it is unpacked, before it is. */
  unpack(bytes: number): void;
  /** Counts a tensor in, which is held until the request is answered. */
  hold(bytes: number): void;
  /** Waits until it may hold the event loop to look at so many bytes; `undefined` where they are few. */
  turn(bytes: number): Promise<void> | undefined;
}

/** A file is not what was expected; the message says what was. */
export class MediaFault extends Error {}

/** The tensor that a reader is for: one row, without the batch. */
export interface MediaTarget {
  shape: TensorSpec['shape'];
  datatype: Datatype;
}

/** What is wrong with the options of a manifest: `path` is the option's, from the kind's own key down. */
export interface OptionsFault {
  path: string;
  message: string;
}

/** A file that came with the request, beside its operation. No JSON can pretend to be one. */
export class UploadedFile {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get bytes(): Uint8Array {
    return this.#bytes;
  }
}
