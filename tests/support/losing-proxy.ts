import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A way to a server of 127.0.0.1 on which answers can be lost. */
export interface LosingProxy {
  port: number;
  /** From now on requests arrive, and their answers do not. */
  loseAnswers(): void;
  /** Cuts every connection; new ones work. */
  cut(): void;
  close(): Promise<void>;
}

export async function startLosingProxy(serverPort: number): Promise<LosingProxy> {
  const sockets = new Set<Socket>();
  const upstreams = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(serverPort, '127.0.0.1');
    client.pipe(upstream);
    upstream.pipe(client);
    upstreams.add(upstream);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        upstreams.delete(upstream);
        client.destroy();
        upstream.destroy();
      });
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: address !== null && typeof address === 'object' ? address.port : 0,
    loseAnswers() {
      for (const upstream of upstreams) upstream.unpipe().resume();
    },
    cut,
    async close() {
      cut();
      server.close();
      await once(server, 'close');
    },
  };
}
