import { test } from 'vitest';
import { modelsDir } from '../support/models-dir.ts';
import { startProcess } from '../support/processes.ts';
import { type Attacker, keepUp } from './attacker.ts';
import { attackedModels } from './fleet.ts';
import { int64 } from './observation.ts';
import { ATTACK_TEST, attack, KEY_SETTINGS } from './stage.ts';

const SUBMIT_ALL = 'mutation ($inputs: [PredictionInput!]!) { submitPredictions(inputs: $inputs) { id } }';
const ALL_COMPLETED = 'subscription ($ids: [ID!]!) { tasksCompleted(ids: $ids) { id } }';
const COMPLETED = 'subscription ($id: ID!) { taskCompleted(id: $id) { id } }';
const EVENTS = { accept: 'text/event-stream' };

const hold = (signal: AbortSignal) => new Promise((resolve) => signal.addEventListener('abort', resolve));
const waits = (count: number) => Array.from({ length: count }, () => int64('slow', { rounds: 2_000_000 }));

interface Case {
  title: string;
  heapMib?: number;
  act: (a: Attacker, signal: AbortSignal) => Promise<unknown>;
}

const CASES: Case[] = [
  {
    title: 'the embedded broker holds tasks by the hundred thousand',
    act: (a, signal) => {
      const body = JSON.stringify({ query: SUBMIT_ALL, variables: { inputs: waits(1_000) } });
      return keepUp(signal, 4, () => a.post(body, {}, signal));
    },
  },
  {
    title: '300 streams of 1,000 pending ids, with a heap of 256 MiB',
    heapMib: 256,
    act: async (a, signal) => {
      const ids = (await a.client.submitAll(waits(1_000))).map(({ id }) => id);
      const body = JSON.stringify({ query: ALL_COMPLETED, variables: { ids } });
      for (let i = 0; i < 300 && !signal.aborted; i += 10) {
        await Promise.all(Array.from({ length: 10 }, () => a.sendUnread(body, EVENTS)));
      }
      await hold(signal);
    },
  },
  {
    title: '10,000 idle streams, with a heap of 256 MiB',
    heapMib: 256,
    act: async (a, signal) => {
      const [{ id } = { id: '' }] = await a.client.submitAll(waits(1));
      const body = JSON.stringify({ query: COMPLETED, variables: { id } });
      for (let i = 0; i < 100 && !signal.aborted; i += 1) {
        await Promise.all(Array.from({ length: 100 }, () => a.sendUnread(body, EVENTS)));
      }
      await hold(signal);
    },
  },
];

test.for(CASES)('$title', ATTACK_TEST, async ({ title, heapMib, act }, context) => {
  const api = await startProcess('start', {
    ...KEY_SETTINGS,
    WORKER_SLOTS: '2',
    LOG_LEVEL: 'warn',
    MODELS_DIR: await modelsDir(await attackedModels()),
    ...(heapMib !== undefined && { NODE_OPTIONS: `--max-old-space-size=${heapMib}` }),
  });
  await api.ready();
  await attack(context, { title, api, processes: { api }, act });
});
