import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'vitest';
import { usePrivateServers } from '../support/fleet.ts';
import { type Attacker, keepUp } from './attacker.ts';
import { startAttacked } from './fleet.ts';
import { int64 } from './observation.ts';
import { ATTACK_TEST, attack } from './stage.ts';

const servers = usePrivateServers();

const COMPLETED = 'subscription ($id: ID!) { taskCompleted(id: $id) { id } }';
const ALL_COMPLETED = 'subscription ($ids: [ID!]!) { tasksCompleted(ids: $ids) { id } }';
const EVENTS = { accept: 'text/event-stream' };

/** Tasks that wait until the test is over: each waits behind one that takes its whole time. */
async function pendingIds(a: Attacker, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i += 1_000) {
    const inputs = Array.from({ length: Math.min(1_000, count - i) }, () => int64('slow', { rounds: 2_000_000 }));
    const tasks = await a.client.submitAll(inputs);
    ids.push(...tasks.map(({ id }) => id));
  }
  return ids;
}

const hold = (signal: AbortSignal) => new Promise((resolve) => signal.addEventListener('abort', resolve));

interface Case {
  title: string;
  pending: number;
  act: (a: Attacker, ids: readonly string[], signal: AbortSignal) => Promise<unknown>;
}

const CASES: Case[] = [
  {
    title: '10,000 idle streams',
    pending: 1,
    act: async (a, [id = ''], signal) => {
      const body = JSON.stringify({ query: COMPLETED, variables: { id } });
      for (let i = 0; i < 100 && !signal.aborted; i += 1) {
        await Promise.all(Array.from({ length: 100 }, () => a.sendUnread(body, EVENTS)));
      }
      await hold(signal);
    },
  },
  {
    title: '300 streams of 1,000 pending ids',
    pending: 1_000,
    act: async (a, ids, signal) => {
      const body = JSON.stringify({ query: ALL_COMPLETED, variables: { ids } });
      for (let i = 0; i < 300 && !signal.aborted; i += 10) {
        await Promise.all(Array.from({ length: 10 }, () => a.sendUnread(body, EVENTS)));
      }
      await hold(signal);
    },
  },
  {
    title: 'streams of 1,000 ids that are opened and left at once',
    pending: 1_000,
    act: (a, ids, signal) => {
      const body = JSON.stringify({ query: ALL_COMPLETED, variables: { ids } });
      return keepUp(signal, 16, async () => {
        const left = new AbortController();
        const asked = a.post(body, EVENTS, AbortSignal.any([signal, left.signal]));
        await sleep(20);
        left.abort();
        await asked;
      });
    },
  },
  {
    title: 'cancels of tasks that wait, again and again',
    pending: 1_000,
    act: (a, ids, signal) =>
      keepUp(signal, 32, (i) =>
        a.ask('mutation ($id: ID!) { cancelTask(id: $id) { id } }', { id: ids[i % ids.length] }, signal),
      ),
  },
];

test.for(CASES)('$title', ATTACK_TEST, async ({ title, pending, act }, context) => {
  const { api, processes } = await startAttacked(servers());
  let ids: string[] = [];
  await attack(context, {
    title,
    api,
    processes,
    prepare: async (a) => {
      ids = await pendingIds(a, pending);
    },
    act: (a, signal) => act(a, ids, signal),
  });
});
