import { expect, test } from 'vitest';
import { Client } from '../support/client.ts';
import { usePrivateServers } from '../support/fleet.ts';
import { modelsDir } from '../support/models-dir.ts';
import { startProcess } from '../support/processes.ts';
import { type Attacker, keepUp } from './attacker.ts';
import { attackedModels, startAttacked } from './fleet.ts';
import { echo } from './observation.ts';
import { ATTACK_TEST, attack, KEY_SETTINGS, KEYS } from './stage.ts';

const servers = usePrivateServers();

const SUBMIT = 'mutation ($input: PredictionInput!) { submitPrediction(input: $input) { id } }';
const body = (floats: number) => JSON.stringify({ query: SUBMIT, variables: { input: echo(floats) } });

/** Large inputs, whose results are as large, until the attack is over; what A was told of those refused. */
async function flood(a: Attacker, signal: AbortSignal, floats: number): Promise<string[]> {
  const codes: string[] = [];
  const large = body(floats);
  await keepUp(signal, 2, async () => {
    const answer = await a.post(large, {}, signal);
    const code = /"code":"(\w+)"/.exec(answer?.text ?? '')?.[1];
    if (code !== undefined) codes.push(code);
  });
  return codes;
}

test('a Redis of 200 MB is filled', ATTACK_TEST, async (context) => {
  const { api, processes, redis } = await startAttacked(servers());
  await redis.cli('CONFIG', 'SET', 'maxmemory', '200mb', 'maxmemory-policy', 'noeviction');
  let codes: string[] = [];
  try {
    await attack(context, {
      title: 'a Redis of 200 MB is filled',
      api,
      processes,
      act: async (a, signal) => {
        codes = await flood(a, signal, 2_000_000);
      },
    });
  } finally {
    await redis.cli('CONFIG', 'SET', 'maxmemory', '0');
  }
  expect(codes).toContain('STORE_FULL');
});

test('the embedded store is filled', ATTACK_TEST, async (context) => {
  const settings = {
    ...KEY_SETTINGS,
    WORKER_SLOTS: '2',
    LOG_LEVEL: 'warn',
    MODELS_DIR: await modelsDir(await attackedModels()),
  };
  const api = await startProcess('start', settings);
  await api.ready();
  const b = new Client(api.url, KEYS.b);
  const { id } = await b.submit(echo(100), { waitMs: 30_000 });
  await attack(context, {
    title: 'the embedded store is filled',
    api,
    processes: { api },
    act: (a, signal) => flood(a, signal, 8_000_000),
  });
  expect(await b.result(id)).toMatchObject({ state: 'SUCCEEDED' });
});
