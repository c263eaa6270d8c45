import { createServer, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { createLoad, type RequestLoad } from '../../src/api/http/load.ts';
import { AppError } from '../../src/errors.ts';
import { type BoundName, createLedger } from '../../src/ledger/ledger.ts';

const MIB = 2 ** 20;

interface Arrived {
  load: RequestLoad | undefined;
  response: ServerResponse;
}

/** A server that counts requests in and answers none by itself. */
async function open(bounds: Partial<Record<BoundName, number>>) {
  const ledger = createLedger(bounds);
  const load = createLoad(ledger);
  let arrive: (arrived: Arrived) => void = () => undefined;
  const server = createServer((incoming, response) => {
    const owner = String(incoming.headers['owner']);
    let admitted: RequestLoad | undefined;
    codeOf(() => {
      admitted = load.admit(incoming, response, owner);
    });
    arrive({ load: admitted, response });
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const send = async (owner: string, headers: Record<string, string> = {}): Promise<Arrived> => {
    const arrived = new Promise<Arrived>((resolve) => {
      arrive = resolve;
    });
    request({ host: '127.0.0.1', port, method: 'POST', headers: { owner, ...headers }, agent: false })
      .on('error', () => undefined)
      .flushHeaders();
    return arrived;
  };
  return { ledger, send };
}

const end = (response: ServerResponse) =>
  new Promise<void>((resolve) => {
    response.once('close', resolve).end();
  });

test('an owner has nine tenths of the requests, another finds room, and who is done makes room', async () => {
  const { send, ledger } = await open({ requests: 10 });
  const all: Arrived[] = [];
  while (all.length < 9) all.push(await send('ann'));
  expect(ledger.requests.heldBy('ann')).toBe(9);
  expect((await send('ann')).load).toBeUndefined();
  const [first] = all;
  if (first) await end(first.response);
  expect((await send('ann')).load).toBeDefined();
  expect((await send('bob', { accept: 'text/event-stream' })).load).toBeDefined();
});

test('streams are counted apart from requests', async () => {
  const { send, ledger } = await open({ requests: 10, streams: 10 });
  const stream = await send('ann', { accept: 'text/event-stream' });
  await send('ann', { accept: 'application/json' });
  expect([ledger.requests.used, ledger.streams.used]).toEqual([1, 1]);
  stream.response.destroy();
  await expect.poll(() => ledger.streams.used, { interval: 5 }).toBe(0);
});

test('memory is taken of the owner’s share, given back with the answer, and one request may take a quarter', async () => {
  const { send, ledger } = await open({ memoryBytes: 400 * MIB });
  const [ann, bob] = [await send('ann'), await send('bob')];
  ann.load?.receive(200 * MIB);
  ann.load?.take(100 * MIB);
  expect(codeOf(() => ann.load?.take(1))).toBe('INVALID_INPUT');
  expect(codeOf(() => ann.load?.receive(90 * MIB))).toBe('RATE_LIMITED');
  expect(codeOf(() => bob.load?.take(80 * MIB))).toBeUndefined();
  await end(ann.response);
  expect([ledger.memoryBytes.heldBy('ann'), ledger.memoryBytes.heldBy('bob')]).toEqual([0, 80 * MIB]);
  // Of whom nobody waits for, nothing is held.
  ann.load?.take(50 * MIB);
  expect(ledger.memoryBytes.heldBy('ann')).toBe(0);
});

test('what an event of a stream holds counts until the next one takes its place', async () => {
  const { send, ledger } = await open({ memoryBytes: 100 * MIB });
  const { load, response } = await send('ann');
  load?.holdEvent(50 * MIB);
  load?.holdEvent(60 * MIB);
  expect(ledger.memoryBytes.used).toBe(60 * MIB);
  expect(codeOf(() => load?.holdEvent(95 * MIB))).toBe('RATE_LIMITED');
  expect(ledger.memoryBytes.used).toBe(0);
  load?.holdEvent(0);
  load?.holdEvent(10 * MIB);
  await end(response);
  expect(ledger.memoryBytes.used).toBe(0);
});

test('results count until the answer is out, for the process and for the answer', async () => {
  const { send } = await open({ memoryBytes: 110 * MIB });
  const [one, other] = [await send('ann'), await send('ann')];
  one.load?.hold(70 * MIB, ['id']);
  expect(() => one.load?.hold(1, ['ids'])).toThrow(
    expect.objectContaining({ code: 'INVALID_INPUT', issues: [expect.objectContaining({ path: ['ids'] })] }),
  );
  expect(codeOf(() => other.load?.hold(60 * MIB, ['ids']))).toBe('RATE_LIMITED');
  await end(one.response);
  // What was read for an answer that nobody waits for any more is held by nobody.
  one.load?.hold(70 * MIB, ['id']);
  expect(codeOf(() => other.load?.hold(60 * MIB, ['ids']))).toBeUndefined();
});

test('tensors that inputs become count until the answer is out, what is unpacked counts for the request', async () => {
  const { send } = await open({ memoryBytes: 220 * MIB });
  const [one, other] = [await send('ann'), await send('ann')];
  one.load?.holdTensor(100 * MIB, ['input']);
  expect(codeOf(() => one.load?.holdTensor(50 * MIB, ['input']))).toBe('INVALID_INPUT');
  expect(codeOf(() => other.load?.holdTensor(120 * MIB, ['input']))).toBe('RATE_LIMITED');
  for (let i = 0; i < 8; i += 1) one.load?.unpack(128 * MIB, ['input']);
  expect(codeOf(() => one.load?.unpack(1, ['input']))).toBe('INVALID_INPUT');
  other.load?.unpack(1024 * MIB, ['input']);
  await end(one.response);
  expect(codeOf(() => other.load?.holdTensor(120 * MIB, ['input']))).toBeUndefined();
  // Nothing more is read for a client that has gone.
  expect(codeOf(() => one.load?.unpack(0, ['input']))).toBe('RATE_LIMITED');
  expect(codeOf(() => one.load?.holdTensor(0, ['input']))).toBe('RATE_LIMITED');
});

test('heavy pieces take turns owner by owner, light ones wait for nobody', async () => {
  const { send } = await open({});
  const [ann, bob] = [(await send('ann')).load, (await send('bob')).load];
  expect(ann?.turn(10_000)).toBeUndefined();
  const order: string[] = [];
  const pieces = ['ann', 'ann', 'ann', 'bob'].map(async (owner) => {
    await (owner === 'ann' ? ann : bob)?.turn(MIB);
    order.push(owner);
  });
  await Promise.all(pieces);
  expect(order).toEqual(['ann', 'bob', 'ann', 'ann']);
});

test('the pieces of a large answer wait for no large body, nor for the rest after one', async () => {
  const { send } = await open({});
  const [ann, bob] = [(await send('ann')).load, (await send('bob')).load];
  const order: string[] = [];
  const bodies = Array.from({ length: 8 }, async () => {
    await ann?.turn(MIB);
    for (const until = performance.now() + 30; performance.now() < until; );
    order.push('body');
  });
  const answer = async () => {
    for (let i = 0; i < 6; i += 1) {
      await bob?.turn(64 * 1024);
      // The client reads.
      await new Promise(setImmediate);
    }
    order.push('answer');
  };
  await Promise.all([...bodies, answer()]);
  expect(order.indexOf('answer')).toBeLessThan(4);
});

function codeOf(call: () => void): string | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    return error instanceof AppError ? error.code : String(error);
  }
}
