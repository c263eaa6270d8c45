import type { ServerResponse } from 'node:http';
import { Overloaded } from '../../errors.ts';
import type { BodyWatch } from './arriving-request.ts';
import type { Connection } from './connection.ts';
import type { RequestLoad } from './load.ts';
import { refuseOverloaded, writeJson } from './refusal.ts';

/** Counts a body in as it comes. Where there is no room for more of it, the request is answered so. */
export class CountedBody implements BodyWatch {
  readonly #connection: Connection;
  readonly #load: RequestLoad;
  readonly #response: ServerResponse;
  #isRefused = false;

  constructor(load: RequestLoad, response: ServerResponse, connection: Connection) {
    this.#connection = connection;
    this.#load = load;
    this.#response = response;
  }

  receive(bytes: number): boolean {
    // Also if the reader of the body has refused it.
    if (!this.#response.headersSent) {
      try {
        this.#load.receive(bytes);
        return true;
      } catch (error) {
        if (!(error instanceof Overloaded)) throw error;
        this.#refuse(error);
      }
    }
    return this.#connection.drain(bytes);
  }

  end(): void {
    if (this.#isRefused) this.#response.end();
  }

  #refuse(error: Overloaded): void {
    this.#isRefused = true;
    // Who still waits for the body would answer too, and is too late.
    this.#response.on('error', () => undefined);
    this.#response.setHeader('connection', 'close');
    refuseOverloaded(this.#response, error, writeJson);
  }
}
