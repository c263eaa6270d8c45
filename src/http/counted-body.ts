import type { ServerResponse } from 'node:http';
import { Overloaded } from '../errors.ts';
import type { BodyWatch } from './arriving-request.ts';
import type { RequestLoad } from './load.ts';
import { refuseOverloaded } from './refusal.ts';

/** What still comes of a body that was refused is read and let go, so that its client gets to the answer; not for ever. */
const DRAINED_BYTES_MAX = 64 * 1024 * 1024;

/** Counts a body in as it comes. Where there is no room for more of it, the request is answered so. */
export class CountedBody implements BodyWatch {
  readonly #load: RequestLoad;
  readonly #response: ServerResponse;
  #drainedBytes = 0;
  #isRefused = false;

  constructor(load: RequestLoad, response: ServerResponse) {
    this.#load = load;
    this.#response = response;
  }

  receive(bytes: number): boolean {
    if (!this.#isRefused) {
      try {
        this.#load.receive(bytes);
        return true;
      } catch (error) {
        if (!(error instanceof Overloaded)) throw error;
        this.#refuse(error);
      }
    }
    this.#drainedBytes += bytes;
    if (this.#drainedBytes > DRAINED_BYTES_MAX) this.#response.destroy();
    return false;
  }

  end(): void {
    if (this.#isRefused) this.#response.end();
  }

  #refuse(error: Overloaded): void {
    this.#isRefused = true;
    if (this.#response.headersSent) return;
    // Who still waits for the body would answer too, and is too late.
    this.#response.on('error', () => undefined);
    this.#response.setHeader('connection', 'close');
    refuseOverloaded(this.#response, error);
  }
}
