import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { ArrivingRequest } from '../../src/api/http/arriving-request.ts';
import { createConnections } from '../../src/api/http/connections.ts';
import { Bound } from '../../src/ledger/bound.ts';

const GET = 'GET / HTTP/1.1\r\nhost: localhost\r\n\r\n';
const post = (bytes: number) => `POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${bytes}\r\n\r\n`;
/** Later than any window. */
const LATER_MS = 11_000;

type Handle = Parameters<typeof createConnections>[0]['handle'];

/** A server of so many connections, and a way to open some. */
async function open(max: number, handle: Handle) {
  const bound = new Bound({ what: 'connections', max });
  const connections = createConnections({ bound, handle });
  const server = createServer({ IncomingMessage: ArrivingRequest, noDelay: true }, connections.answer)
    .on('connection', connections.add)
    .listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  onTestFinished(() => {
    connections.close();
    server.closeAllConnections();
    server.close();
  });
  const dial = async (): Promise<Socket & { text: () => string }> => {
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      text += chunk;
    });
    onTestFinished(() => void socket.destroy());
    const accepted = once(server, 'connection');
    await Promise.all([once(socket, 'connect'), accepted]);
    return Object.assign(socket, { text: () => text });
  };
  return { bound, connections, dial };
}

const ok: Handle = (_request, response, connection) => {
  connection.isKnown = true;
  response.end('ok');
};

test('what is sent ahead is answered one by one, in order, and others are answered in between', async () => {
  const order: string[] = [];
  let atOnce = 0;
  const { dial } = await open(100, (request, response) => {
    order.push(request.url ?? '');
    atOnce += 1;
    if (order.length < 500) expect(atOnce).toBeLessThanOrEqual(2);
    response.once('close', () => {
      atOnce -= 1;
    });
    response.end('ok');
  });
  const [greedy, other] = [await dial(), await dial()];
  const ahead = Array.from({ length: 2_000 }, (_, i) => `GET /${i} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
  greedy.write(ahead.join(''));
  await once(greedy, 'data');
  other.write('GET /other HTTP/1.1\r\nhost: localhost\r\n\r\n');
  await expect.poll(() => order.length, { interval: 5, timeout: 10_000 }).toBe(2_001);
  expect(order.filter((url) => url !== '/other')).toEqual(ahead.map((_, i) => `/${i}`));
  expect(order.indexOf('/other')).toBeLessThan(1_900);
});

test('bodies that were sent ahead reach their requests whole', async () => {
  const bodies: string[] = [];
  const { dial } = await open(100, async (request, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    bodies.push(body);
    response.end('ok');
  });
  const socket = await dial();
  const sent = Array.from({ length: 20 }, (_, i) => `${i}`.repeat(10_000 * (i + 1)).slice(0, 10_000 * (i + 1)));
  for (const body of sent) socket.write(`${post(body.length)}${body}`);
  await expect.poll(() => bodies.length, { interval: 5, timeout: 10_000 }).toBe(20);
  expect(bodies).toEqual(sent);
});

test('a body that comes too slowly is answered with 408, one that comes is not', async () => {
  const { dial, connections } = await open(100, (request) => void request.resume());
  const [slow, steady] = [await dial(), await dial()];
  slow.write(`${post(1_000_000)}x`);
  steady.write(post(1_000_000));
  const now = performance.now();
  await expect.poll(() => connections.exchanges().length, { interval: 5 }).toBe(2);
  connections.check(now);
  steady.write('x'.repeat(20_000));
  await expect
    .poll(() => connections.exchanges().some(({ request }) => request.bodyBytes === 20_000), { interval: 5 })
    .toBe(true);
  connections.check(now + LATER_MS);
  await once(slow, 'close');
  expect(slow.text()).toMatch(/^HTTP\/1.1 408 .*expected the rest of the body/s);
  expect(connections.exchanges()).toHaveLength(1);
});

test('an answer that nobody reads is cut, one that is read slowly and one that has nothing to send are not', async () => {
  const { dial, connections } = await open(100, (request, response) => {
    response.write('x');
    if (request.url === '/large') response.write(Buffer.alloc(50_000_000));
  });
  const [unread, slow, idle] = [await dial(), await dial(), await dial()];
  for (const socket of [unread, slow]) socket.pause().write('GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n');
  idle.write(GET);
  await once(idle, 'data');
  await expect.poll(() => connections.exchanges().length, { interval: 5 }).toBe(3);
  const now = performance.now();
  connections.check(now);
  // Far from all of it, and more than lies in the buffers of the system.
  slow.resume();
  while (slow.text().length < 20_000_000) await once(slow, 'data');
  slow.pause();
  connections.check(now + LATER_MS);
  expect(connections.exchanges()).toHaveLength(2);
  connections.check(now + LATER_MS + LATER_MS);
  expect(connections.exchanges()).toHaveLength(1);
});

test('idle connections without a key make room for new ones, those that are known stay', async () => {
  const { dial, bound } = await open(100, ok);
  const known = await dial();
  known.write(GET);
  await once(known, 'data');
  const idle: Socket[] = [];
  // Twice as many as may be idle: so young ones are spared before.
  for (let i = 0; i < 60; i++) idle.push(await dial());
  await expect.poll(() => bound.used, { interval: 5 }).toBeLessThanOrEqual(51);
  expect(idle[0]?.destroyed || idle[0]?.readableEnded).toBe(true);
  const fresh = await dial();
  fresh.write(GET);
  await once(fresh, 'data');
  known.write(GET);
  await once(known, 'data');
});

test('where all connections of an address are in use, the next is told so, and there is room again when one has gone', async () => {
  const responses: ServerResponse[] = [];
  const { dial, bound } = await open(20, (_request, response) => void responses.push(response));
  const busy: Socket[] = [];
  for (let i = 0; i < 18; i++) {
    const socket = await dial();
    socket.write(GET);
    await expect.poll(() => responses.length, { interval: 5 }).toBe(i + 1);
    busy.push(socket);
  }
  const refused = await dial();
  refused.write(GET);
  await once(refused, 'end');
  expect(refused.text()).toMatch(/^HTTP\/1.1 503 .*retry-after: 1.*"RATE_LIMITED"/is);
  busy[0]?.destroy();
  await expect.poll(() => bound.used, { interval: 5 }).toBe(17);
  const next = await dial();
  next.write(GET);
  await expect.poll(() => responses.length, { interval: 5 }).toBe(19);
});

test('nothing is held of connections that have gone, whatever they were at', async () => {
  const { dial, bound, connections } = await open(200, (request, response) => {
    if (request.url === '/0') response.end('ok');
  });
  const heads = [post(10), `${GET}${GET}`, 'no HTTP at all\r\n\r\n', 'GET', `${post(5)}12345${GET}`, post(-1)];
  for (let i = 0; i < 60; i++) {
    const socket = await dial();
    socket.write((heads[i % heads.length] ?? '').replace(' / ', ` /${i % 2} `));
    if (i % 3 > 0) setImmediate(() => socket.destroy());
    else socket.end();
  }
  await expect.poll(() => bound.used, { interval: 5, timeout: 5_000 }).toBeLessThanOrEqual(10);
  connections.check(performance.now());
  connections.check(performance.now() + LATER_MS);
  connections.check(performance.now() + 2 * LATER_MS);
  await expect.poll(() => connections.exchanges().length, { interval: 5, timeout: 5_000 }).toBeLessThanOrEqual(10);
});
