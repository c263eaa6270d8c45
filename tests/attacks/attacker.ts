import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '../support/client.ts';

export interface Answer {
  status: number;
  /** The first of the answer; an attacker does not keep all of it. */
  text: string;
  bytes: number;
}

const KEPT_BYTES = 10_000;

/** A, who has a key like everybody else. What is refused to it, or cut, is no failure of the attack. */
export class Attacker {
  readonly url: string;
  readonly key: string;
  readonly client: Client;
  readonly #sockets = new Set<Socket>();

  constructor(url: string, key: string) {
    this.url = url;
    this.key = key;
    this.client = new Client(url, key);
  }

  /** Posts a body to `/graphql` and reads the whole answer; `undefined` where the connection was cut. */
  async post(
    body: string | Buffer,
    headers: Record<string, string> = {},
    signal?: AbortSignal,
  ): Promise<Answer | undefined> {
    try {
      const response = await fetch(`${this.url}/graphql`, {
        method: 'POST',
        headers: { authorization: `Bearer ${this.key}`, 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' ? body : new Uint8Array(body),
        signal: signal ?? null,
      });
      let [text, bytes] = ['', 0];
      for await (const part of response.body ?? []) {
        if (bytes < KEPT_BYTES) text += Buffer.from(part).toString('utf8', 0, KEPT_BYTES - bytes);
        bytes += part.length;
      }
      return { status: response.status, text, bytes };
    } catch {
      return undefined;
    }
  }

  ask(query: string, variables: Record<string, unknown> = {}, signal?: AbortSignal): Promise<Answer | undefined> {
    return this.post(JSON.stringify({ query, variables }), {}, signal);
  }

  /** A socket that reads nothing by itself; `undefined` where none is to be had. */
  async open(): Promise<Socket | undefined> {
    const { hostname, port } = new URL(this.url);
    const socket = connect(Number(port), hostname);
    this.#sockets.add(socket);
    socket.on('error', () => undefined).once('close', () => this.#sockets.delete(socket));
    socket.pause();
    const open = once(socket, 'connect').then(
      () => socket,
      () => undefined,
    );
    return Promise.race([open, sleep(5_000, undefined, { ref: false })]);
  }

  /** The head of a POST to `/graphql`. */
  head(headers: Record<string, string | number>, withKey = true): string {
    const all = {
      host: new URL(this.url).host,
      ...(withKey ? { authorization: `Bearer ${this.key}` } : {}),
      'content-type': 'application/json',
      ...headers,
    };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    return `POST /graphql HTTP/1.1\r\n${lines.join('')}\r\n`;
  }

  /** Sends a request on a socket of its own and reads nothing of the answer. */
  async sendUnread(body: string | Buffer, headers: Record<string, string | number> = {}): Promise<void> {
    const socket = await this.open();
    socket?.write(this.head({ 'content-length': Buffer.byteLength(body), ...headers }));
    socket?.write(body);
  }

  /** Ends all sockets that are still open. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** So many at a time, again and again, until the attack is over. */
export async function keepUp(signal: AbortSignal, atOnce: number, act: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (!signal.aborted) await act(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}
