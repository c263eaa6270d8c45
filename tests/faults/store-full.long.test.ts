import { expect, test } from 'vitest';
import { Client } from '../support/client.ts';
import { startCase } from '../support/fault-case.ts';
import { startFleet, usePrivateServers } from '../support/fleet.ts';
import { identity } from '../support/onnx-models.ts';
import { KNOWN_MODELS, squaresSample } from '../support/samples.ts';

const KEYS = { a: 'Vn3Kq8Tz5Hw2Yc7Lr4Xs9Gd6', b: 'Bt6Mj1Px4Fe9Rk2Zu7Na5Qh8' };
const MODELS = { ...KNOWN_MODELS, echo: { onnx: identity('FP32', ['batch', 'n']) } };
/** Inputs of a message, results of the store. */
const FLOATS = 225_000;
/** More than nine tenths of three quarters of 100 MB. */
const TASKS = 110;

const servers = usePrivateServers();

const echo = (floats: number) => ({
  tensors: {
    model: 'echo',
    inputs: [
      {
        name: 'x',
        datatype: 'FP32',
        shape: [1, floats],
        data: { base64: Buffer.alloc(4 * floats).toString('base64') },
      },
    ],
  },
});

const WAIT =
  'mutation ($input: PredictionInput!) { submitPrediction(input: $input, options: { waitMs: 30000 }) { state } }';
const ID = 'mutation ($input: PredictionInput!) { submitPrediction(input: $input) { id } }';
const END = 'query ($id: ID!) { result(id: $id) { state error { code } } }';

interface End {
  result: { state: string; error: { code: string } | null } | null;
}

test('who fills a Redis that bounds its memory is refused, and another notices nothing', async (context) => {
  const it = startCase(context, '12 a Redis of 100 MB is filled');
  const settings = { API_KEYS: `a:${KEYS.a},b:${KEYS.b}` };
  const fleet = await startFleet(servers(), { models: MODELS, settings });
  const [api] = fleet.apis;
  if (!api) throw new Error('expected an API');
  const [a, b] = [new Client(api.url, KEYS.a), new Client(api.url, KEYS.b)];
  await fleet.redis.cli('CONFIG', 'SET', 'maxmemory', '100mb', 'maxmemory-policy', 'noeviction');

  const ids: string[] = [];
  const samples = Array.from({ length: 10 }, (_, x) => squaresSample(x));
  for (let i = 0; i < TASKS; i++) {
    const answer = await a.ask<{ submitPrediction: { id: string } }>(ID, { input: echo(FLOATS) });
    for (const { extensions } of answer.errors ?? []) expect(extensions.code).toBe('STORE_FULL');
    if (answer.data) ids.push(answer.data.submitPrediction.id);
    if (i % 10 === 0) it.subscribe(await it.submitAll(b, samples), () => b);
  }
  // Nothing that was accepted is lost: it has its result, or says why not.
  const ends = async () => (await Promise.all(ids.map((id) => a.get<End>(END, { id })))).map(({ result }) => result);
  const codes = async () => new Set((await ends()).map((end) => end?.error?.code ?? end?.state));
  await expect.poll(codes, { timeout: 60_000, interval: 500 }).toEqual(new Set(['SUCCEEDED', 'STORE_FULL']));
  const { errors } = await a.ask(ID, { input: echo(2_000_000) });
  expect(errors?.[0]).toMatchObject({
    message: expect.stringContaining('you hold'),
    extensions: { code: 'STORE_FULL', retryAfterMs: expect.any(Number) },
  });
  expect(await b.get(WAIT, { input: echo(FLOATS) })).toEqual({ submitPrediction: { state: 'SUCCEEDED' } });
  expect(await api.probe('/readyz')).toBe(200);
  await it.verify(b, { withinMs: 30_000 });

  await fleet.redis.cli('CONFIG', 'SET', 'maxmemory', '0');
  const again = async () => (await a.ask<Record<string, { state: string }>>(WAIT, { input: echo(2_000_000) })).data;
  await expect.poll(again, { timeout: 30_000, interval: 250 }).toEqual({ submitPrediction: { state: 'SUCCEEDED' } });
});
