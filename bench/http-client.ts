import { connect, type Socket } from 'node:net';

/** What came of one request: the whole body, or of a stream all that it said. */
interface Exchange {
  /** Told of what has come, piece by piece, and the moment. */
  onText: ((text: string) => void) | undefined;
  resolve: (body: string) => void;
  reject: (error: Error) => void;
}

/** One connection with one request at a time: the load must cost little beside what it measures. Knows what our servers send, and no more of HTTP. */
class Connection {
  readonly #socket: Socket;
  #received = '';
  #exchange: Exchange | undefined;

  constructor(url: URL) {
    this.#socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true });
    this.#socket.setEncoding('latin1');
    this.#socket.on('data', (text: string) => {
      this.#received += text;
      this.#read();
    });
    this.#socket.on('error', (error) => this.#exchange?.reject(error));
    this.#socket.on('close', () => this.#exchange?.reject(new Error('the connection was closed')));
  }

  send(head: string, body: string, onText?: Exchange['onText']): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#exchange = { onText, resolve, reject };
      this.#socket.write(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    });
  }

  close(): void {
    this.#exchange = undefined;
    this.#socket.destroy();
  }

  #read(): void {
    const headEnd = this.#received.indexOf('\r\n\r\n') + 4;
    if (headEnd < 4) return;
    const length = /^content-length: *(\d+)/im.exec(this.#received.slice(0, headEnd))?.[1];
    this.#exchange?.onText?.(this.#received);
    const end =
      length === undefined ? this.#received.indexOf('\r\n0\r\n\r\n', headEnd - 2) + 7 : headEnd + Number(length);
    if (end < headEnd || this.#received.length < end) return;
    const body = this.#received.slice(headEnd, end);
    this.#received = '';
    this.#exchange?.resolve(Buffer.from(body, 'latin1').toString());
  }
}

export interface HttpClient {
  /** Resolves with the parsed answer. */
  post<T>(path: string, body: unknown): Promise<T>;
  /** Resolves when the stream has ended, with the moment at which each `next` came. */
  stream(path: string, body: unknown, onOpen?: () => void): Promise<number[]>;
  close(): void;
}

export function createHttpClient(url: string): HttpClient {
  const base = new URL(url);
  const idle: Connection[] = [];
  const all = new Set<Connection>();

  async function exchange(path: string, accept: string, body: unknown, onText?: Exchange['onText']): Promise<string> {
    const connection = idle.pop() ?? new Connection(base);
    all.add(connection);
    const head = `POST ${path} HTTP/1.1\r\nhost: ${base.host}\r\naccept: ${accept}\r\ncontent-type: application/json\r\n`;
    const answer = await connection.send(head, JSON.stringify(body), onText);
    idle.push(connection);
    return answer;
  }

  return {
    async post<T>(path: string, body: unknown): Promise<T> {
      return JSON.parse(await exchange(path, 'application/json', body)) as T;
    },
    async stream(path, body, onOpen) {
      const moments: number[] = [];
      let open = false;
      let seen = 0;
      const answer = await exchange(path, 'text/event-stream', body, (text) => {
        if (!open) onOpen?.();
        open = true;
        const now = Date.now() + (performance.now() % 1);
        for (let at = text.indexOf('event: next', seen); at >= 0; at = text.indexOf('event: next', seen)) {
          seen = at + 1;
          moments.push(now);
        }
      });
      // A task that failed, and a stream that is refused, are no figures.
      if (/"errors"|"FAILED"/.test(answer)) throw new Error(answer.slice(0, 500));
      return moments;
    },
    close() {
      for (const connection of all) connection.close();
    },
  };
}
