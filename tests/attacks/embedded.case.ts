import { test } from 'vitest';
import { modelsDir } from '../support/models-dir.ts';
import { startProcess } from '../support/processes.ts';
import type { Attacker } from './attacker.ts';
import { attackedModels } from './fleet.ts';
import { int64 } from './observation.ts';
import { ATTACK_TEST, attack, KEY_SETTINGS } from './stage.ts';

const ALL_COMPLETED = 'subscription ($ids: [ID!]!) { tasksCompleted(ids: $ids) { id } }';
const EVENTS = { accept: 'text/event-stream' };

const hold = (signal: AbortSignal) => new Promise((resolve) => signal.addEventListener('abort', resolve));
const waits = (count: number) => Array.from({ length: count }, () => int64('slow', { rounds: 2_000_000 }));

interface Case {
  title: string;
  act: (a: Attacker, signal: AbortSignal) => Promise<unknown>;
}

const CASES: Case[] = [
  {
    title: '300 streams of 1,000 pending ids, with a heap of 256 MiB',
    act: async (a, signal) => {
      const ids = (await a.client.submitAll(waits(1_000))).map(({ id }) => id);
      const body = JSON.stringify({ query: ALL_COMPLETED, variables: { ids } });
      for (let i = 0; i < 300 && !signal.aborted; i += 10) {
        await Promise.all(Array.from({ length: 10 }, () => a.sendUnread(body, EVENTS)));
      }
      await hold(signal);
    },
  },
];

test.for(CASES)('$title', ATTACK_TEST, async ({ title, act }, context) => {
  const api = await startProcess('start', {
    ...KEY_SETTINGS,
    WORKER_SLOTS: '2',
    LOG_LEVEL: 'warn',
    MODELS_DIR: await modelsDir(await attackedModels()),
    NODE_OPTIONS: '--max-old-space-size=256',
  });
  await api.ready();
  await attack(context, { title, api, processes: { api }, act });
});
