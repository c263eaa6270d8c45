import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { startProxy } from '../support/proxy.ts';

/** A proxy in front of a server that sends back what it gets. */
async function startEcho() {
  const server = createServer((socket) => socket.on('error', () => undefined).pipe(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const proxy = await startProxy(address !== null && typeof address === 'object' ? address.port : 0);
  onTestFinished(async () => {
    await proxy.close();
    server.close();
  });
  return proxy;
}

async function open(port: number): Promise<{ socket: Socket; heard: () => string }> {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  let heard = '';
  socket.on('data', (bytes) => {
    heard += bytes;
  });
  await once(socket, 'connect');
  return { socket, heard: () => heard };
}

test('a silent proxy passes nothing on and ends nothing, and all arrives once it is restored', async () => {
  const proxy = await startEcho();
  const old = await open(proxy.port);
  old.socket.write('before, ');
  await expect.poll(old.heard).toBe('before, ');
  proxy.silence();
  const young = await open(proxy.port);
  old.socket.write('meanwhile');
  young.socket.write('first words');
  // Whatever else there is to do takes its turn meanwhile.
  const other = await open((await startEcho()).port);
  for (const said of ['a', 'aa', 'aaa']) {
    other.socket.write('a');
    await expect.poll(other.heard, { interval: 1 }).toBe(said);
  }
  expect([old.heard(), young.heard()]).toEqual(['before, ', '']);
  expect([old.socket.closed, young.socket.closed]).toEqual([false, false]);
  proxy.restore();
  await expect.poll(old.heard).toBe('before, meanwhile');
  await expect.poll(young.heard).toBe('first words');
});

test('a proxy that loses answers still takes requests, and its next connections are whole', async () => {
  const proxy = await startEcho();
  const { socket, heard } = await open(proxy.port);
  proxy.loseAnswers();
  socket.write('lost');
  const next = await open(proxy.port);
  next.socket.write('answered');
  await expect.poll(next.heard).toBe('answered');
  expect(heard()).toBe('');
});

test('connections that are reset fail, those that end do so in both directions, and all are forgotten', async () => {
  const proxy = await startEcho();
  const [ended, reset] = [await open(proxy.port), await open(proxy.port)];
  await expect.poll(proxy.connections).toBe(2);
  ended.socket.end();
  await once(ended.socket, 'close');
  await expect.poll(proxy.connections).toBe(1);
  const failed = new Promise((resolve) => reset.socket.once('error', resolve));
  proxy.reset();
  expect(await failed).toMatchObject({ code: 'ECONNRESET' });
  await expect.poll(proxy.connections).toBe(0);
});

test('bytes are on their way for as long as a proxy delays them, in each direction', async () => {
  const proxy = await startEcho();
  proxy.delay(100);
  const { socket, heard } = await open(proxy.port);
  const sentAt = performance.now();
  socket.write('slow');
  await expect.poll(heard, { interval: 5 }).toBe('slow');
  expect(performance.now() - sentAt).toBeGreaterThanOrEqual(190);
});
