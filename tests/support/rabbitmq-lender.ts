import { once } from 'node:events';
import { createServer } from 'node:http';
import type { TestProject } from 'vitest/node';
import { type Rabbitmq, startRabbitmq } from './rabbitmq.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Where a test file gets the URL of a virtual host that nobody else has. */
    rabbitmqLender: string;
  }
}

/** More than a run of all tests borrows. */
const VHOSTS = Array.from({ length: 40 }, (_, i) => `test-${i}`);

/**
 * Lends virtual hosts of one RabbitMQ to the test files of a run, each to one: a broker of its own for each of them would
 * be a quarter of what all tests compute. It starts with the first that asks, and ends with the run.
 */
export async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  const running: Rabbitmq[] = [];
  async function start(): Promise<string[]> {
    const rabbitmq = await startRabbitmq({ vhosts: VHOSTS });
    running.push(rabbitmq);
    return VHOSTS.map((vhost) => `${rabbitmq.url}/${vhost}`);
  }
  let free: Promise<string[]> = Promise.resolve([]);
  function lend(): Promise<string | undefined> {
    free = free.then((urls) => (urls.length > 0 ? urls : start()));
    return free.then((urls) => urls.shift());
  }

  const server = createServer((_, response) => {
    lend().then(
      (url) => response.end(url),
      (error) => response.writeHead(500).end(String(error)),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error(`expected a TCP address, got ${address}`);
  provide('rabbitmqLender', `http://127.0.0.1:${address.port}`);
  return async () => {
    server.close();
    server.closeAllConnections();
    await Promise.all(running.map((rabbitmq) => rabbitmq.close()));
  };
}
