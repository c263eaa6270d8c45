import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A way to a server of 127.0.0.1 that fails as networks do. */
export interface TcpProxy {
  readonly port: number;
  /** Connections that are open at present, in one direction or in both. */
  connections(): number;
  /** How long bytes are on their way from now on, in each direction; what comes meanwhile goes on together. */
  delay(latencyMs: number): void;
  /** Of the present connections, requests arrive from now on, and their answers do not. */
  loseAnswers(): void;
  /** Nothing arrives any more, in either direction, and no connection ends: all are half-open, those to come as well. */
  silence(): void;
  /** Ends the silence. What was sent meanwhile arrives now, as TCP sends again what nobody has acknowledged. */
  restore(): void;
  /** Ends every connection in good order; new ones work. */
  cut(): void;
  /** Ends every connection by a reset; new ones work. */
  reset(): void;
  close(): Promise<void>;
}

/** What becomes of everything that is on its way. */
interface Weather {
  latencyMs: number;
  /** Pending while there is silence. */
  passable: Promise<void>;
}

/** Both ends of one connection, as the proxy holds them. */
interface Connection {
  client: Socket;
  server: Socket;
  losesAnswers: boolean;
}

/** `portOf`: where the next connection leads. */
export async function startProxy(portOf: number | (() => number)): Promise<TcpProxy> {
  const weather: Weather = { latencyMs: 0, passable: Promise.resolve() };
  const connections = new Set<Connection>();
  let breakSilence = () => {};

  const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const server = connect({
      port: typeof portOf === 'number' ? portOf : portOf(),
      host: '127.0.0.1',
      allowHalfOpen: true,
      noDelay: true,
    });
    const connection: Connection = { client, server, losesAnswers: false };
    connections.add(connection);
    const requests = relay(client, server, weather, () => true);
    const answers = relay(server, client, weather, () => !connection.losesAnswers);
    void Promise.all([requests, answers]).then(() => connections.delete(connection));
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();

  const endAll = (end: (socket: Socket) => void) => {
    for (const { client, server } of connections) [client, server].forEach(end);
  };
  const cut = () => endAll((socket) => socket.destroy());
  return {
    port: address !== null && typeof address === 'object' ? address.port : 0,
    connections: () => connections.size,
    delay: (latencyMs) => {
      weather.latencyMs = latencyMs;
    },
    loseAnswers() {
      for (const connection of connections) connection.losesAnswers = true;
    },
    silence() {
      breakSilence();
      ({ promise: weather.passable, resolve: breakSilence } = Promise.withResolvers<void>());
    },
    restore: () => breakSilence(),
    cut,
    reset: () => endAll((socket) => socket.resetAndDestroy()),
    async close() {
      breakSilence();
      cut();
      listener.close();
      await once(listener, 'close');
    },
  };
}

/** Passes on one direction of a connection: its bytes, then how it ended. Never rejects. */
async function relay(from: Socket, to: Socket, weather: Weather, arrives: () => boolean): Promise<void> {
  const passage = async () => {
    if (weather.latencyMs > 0) await sleep(weather.latencyMs);
    await weather.passable;
  };
  // How it ended is told by the iteration below; a socket without a listener for its error would end the process.
  from.on('error', () => undefined);
  const gone = new Promise((resolve) => to.once('close', resolve));
  try {
    // Its end is that of one direction: the other one may go on.
    for await (const bytes of from.iterator({ destroyOnReturn: false })) {
      await passage();
      if (arrives() && !to.write(bytes)) await Promise.race([once(to, 'drain'), gone]);
    }
    await passage();
    to.end();
  } catch {
    await passage();
    to.resetAndDestroy();
  }
}
