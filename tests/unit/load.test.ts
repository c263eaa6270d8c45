import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { AppError } from '../../src/errors.ts';
import { createLoad, type LoadLimits, type RequestLoad } from '../../src/http/load.ts';

const MIB = 2 ** 20;

interface Arrived {
  load: RequestLoad | undefined;
  response: ServerResponse;
}

/** A server that counts requests in and answers none by itself. */
async function open(limits: Partial<LoadLimits>) {
  const load = createLoad({ bodyLimitBytes: MIB, ...limits });
  let arrive: (arrived: Arrived) => void = () => undefined;
  const server = createServer((incoming: IncomingMessage, response) =>
    arrive({ load: load.admit(incoming, response), response }),
  ).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  /** A request with these headers, whose body never comes. */
  return async (headers: Record<string, string | number> = {}): Promise<Arrived> => {
    const arrived = new Promise<Arrived>((resolve) => {
      arrive = resolve;
    });
    request({ host: '127.0.0.1', port, method: 'POST', headers, agent: false })
      .on('error', () => undefined)
      .flushHeaders();
    return arrived;
  };
}

const end = (response: ServerResponse) =>
  new Promise<void>((resolve) => {
    response.once('close', resolve).end();
  });

test('requests are counted in up to the limit, and out when their response closes', async () => {
  const send = await open({ openMax: 2 });
  const [first, second] = [await send(), await send()];
  expect([first.load, second.load]).not.toContain(undefined);
  expect((await send()).load).toBeUndefined();
  await end(first.response);
  expect((await send()).load).toBeDefined();
  second.response.destroy();
  await expect.poll(async () => (await send()).load, { interval: 5 }).toBeDefined();
});

test('bodies count by the length that they say, or as the largest where they say none', async () => {
  const send = await open({ heldBytesMax: 2 * MIB });
  expect((await send({ 'content-length': MIB / 2 })).load).toBeDefined();
  const chunked = await send({ 'transfer-encoding': 'chunked' });
  expect(chunked.load).toBeDefined();
  expect((await send({ 'transfer-encoding': 'chunked' })).load).toBeUndefined();
  expect((await send({ 'content-length': MIB })).load).toBeUndefined();
  expect((await send({ 'content-length': MIB / 2 })).load).toBeDefined();
  await end(chunked.response);
  // One that is too large is refused unread, by whoever reads it.
  expect((await send({ 'content-length': 1_000 * MIB })).load).toBeDefined();
});

test('the largest body fits, whatever else is set', async () => {
  const send = await open({ bodyLimitBytes: 4 * MIB, heldBytesMax: MIB });
  expect((await send({ 'content-length': 4 * MIB })).load).toBeDefined();
  expect((await send({ 'content-length': 1 })).load).toBeUndefined();
});

test('results count until the answer is out, for the process and for the answer', async () => {
  const send = await open({ heldBytesMax: 100 * MIB });
  const [one, other] = [await send(), await send()];
  one.load?.hold(70 * MIB, ['id']);
  expect(() => one.load?.hold(1, ['ids'])).toThrow(
    expect.objectContaining({ code: 'INVALID_INPUT', issues: [expect.objectContaining({ path: ['ids'] })] }),
  );
  const refusal = codeOf(() => other.load?.hold(60 * MIB, ['ids']));
  expect(refusal).toBe('RATE_LIMITED');
  await end(one.response);
  // What was read for an answer that nobody waits for any more is held by nobody.
  one.load?.hold(70 * MIB, ['id']);
  expect(codeOf(() => other.load?.hold(60 * MIB, ['ids']))).toBeUndefined();
});

test('tensors that files become count until the answer is out, what is unpacked counts for the request', async () => {
  const send = await open({ heldBytesMax: 200 * MIB });
  const [one, other] = [await send(), await send()];
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

function codeOf(call: () => void): string | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    return error instanceof AppError ? error.code : String(error);
  }
}
