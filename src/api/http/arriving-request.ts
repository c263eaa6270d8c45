import { IncomingMessage } from 'node:http';

/** Hears of a body as it comes. */
export interface BodyWatch {
  /** Whether a chunk may be kept; once it may not, the rest of the body is let go. */
  receive(bytes: number): boolean;
  /** The body is complete. */
  end(): void;
}

/** A request whose body is counted as it arrives: a length in a header takes no memory. */
export class ArrivingRequest extends IncomingMessage {
  body: BodyWatch | undefined;
  /** Bytes of the body that came so far. */
  bodyBytes = 0;
  #isUnwanted = false;

  override push(chunk: Buffer | null, encoding?: BufferEncoding): boolean {
    if (chunk === null) this.body?.end();
    else {
      this.bodyBytes += chunk.length;
      this.#isUnwanted ||= this.body?.receive(chunk.length) === false;
    }
    // The parser goes on with what follows.
    return this.#isUnwanted || super.push(chunk, encoding);
  }
}
