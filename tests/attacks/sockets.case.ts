import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'vitest';
import { usePrivateServers } from '../support/fleet.ts';
import { type Place, withDescriptors } from '../support/processes.ts';
import { type Attacker, keepUp } from './attacker.ts';
import { startAttacked } from './fleet.ts';
import type { BystanderInput } from './observation.ts';
import { ATTACK_TEST, attack } from './stage.ts';

const servers = usePrivateServers();

const aborted = (signal: AbortSignal) => new Promise((resolve) => signal.addEventListener('abort', resolve));

interface Case {
  title: string;
  bystander?: BystanderInput;
  apiPlace?: Place;
  act: (a: Attacker, signal: AbortSignal) => Promise<unknown>;
}

/** Writes a chunk on each of so many sockets, a second between two. */
async function trickle(
  a: Attacker,
  signal: AbortSignal,
  { sockets, first, rest }: { sockets: number; first: string; rest: string },
) {
  const all = await Promise.all(Array.from({ length: sockets }, () => a.open()));
  for (const socket of all) socket?.write(first);
  while (!signal.aborted) {
    for (const socket of all) socket?.write(rest);
    await sleep(1_000);
  }
}

const CASES: Case[] = [
  {
    title: 'four bodies of 64 MiB of which one byte comes',
    bystander: 'large',
    act: async (a, signal) => {
      const head = a.head({ 'content-length': 67_108_864 });
      await trickle(a, signal, { sockets: 4, first: `${head}{`, rest: '' });
    },
  },
  {
    title: 'three hundred bodies, a byte a second',
    bystander: 'large',
    act: (a, signal) =>
      trickle(a, signal, { sockets: 300, first: `${a.head({ 'content-length': 60_000_000 })}{`, rest: ' ' }),
  },
  {
    title: 'three hundred heads, a byte a second',
    act: (a, signal) => trickle(a, signal, { sockets: 300, first: 'POST /graphql HTTP/1.1\r\nx-', rest: 'a' }),
  },
  {
    title: 'chunks without an end',
    bystander: 'large',
    act: async (a, signal) => {
      const chunk = `${(65_536).toString(16)}\r\n${' '.repeat(65_536)}\r\n`;
      await keepUp(signal, 8, async () => {
        const socket = await a.open();
        socket?.write(a.head({ 'transfer-encoding': 'chunked' }));
        while (socket && !signal.aborted && !socket.destroyed) {
          if (!socket.write(chunk)) await Promise.race([once(socket, 'drain'), once(socket, 'close'), aborted(signal)]);
        }
      });
    },
  },
  {
    title: '50,000 pipelined GET /metrics on a socket without a key',
    act: async (a, signal) => {
      const socket = await a.open();
      socket?.resume();
      socket?.write('GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n'.repeat(50_000));
      await Promise.race([aborted(signal), socket ? once(socket, 'close') : undefined]);
    },
  },
  {
    title: '20,000 pipelined operations on a socket',
    act: async (a, signal) => {
      const socket = await a.open();
      socket?.resume();
      const body = '{"query":"{ models { name inputs { name } } }"}';
      socket?.write(`${a.head({ 'content-length': body.length })}${body}`.repeat(20_000));
      await Promise.race([aborted(signal), socket ? once(socket, 'close') : undefined]);
    },
  },
  {
    title: 'idle sockets without a key, at 1,024 descriptors',
    apiPlace: withDescriptors(1_024),
    act: async (a, signal) => {
      await Promise.all(Array.from({ length: 1_500 }, () => a.open()));
      await aborted(signal);
    },
  },
  {
    title: 'connections that come and go without a word',
    act: (a, signal) => keepUp(signal, 200, async () => (await a.open())?.destroy()),
  },
  {
    title: 'wrong keys, as fast as they are refused',
    act: (a, signal) =>
      keepUp(signal, 64, (i) => a.post('{"query":"{ __typename }"}', { authorization: `Bearer wrong-${i}` }, signal)),
  },
  {
    title: 'what is no HTTP',
    act: (a, signal) =>
      keepUp(signal, 100, async (i) => {
        const socket = await a.open();
        const garbage = [
          '\x16\x03\x01\x02\x00\x01\x00',
          'GET / HTTP/9.9\r\n\r\n',
          `${'A'.repeat(100_000)}\r\n\r\n`,
          'POST /graphql HTTP/1.1\r\ncontent-length: -5\r\n\r\n',
        ];
        socket?.resume().write(garbage[i % garbage.length] ?? '');
        if (socket) await Promise.race([new Promise((resolve) => socket.once('close', resolve)), sleep(500)]);
        socket?.destroy();
      }),
  },
  {
    title: 'addresses of 60 kB',
    act: (a, signal) =>
      keepUp(signal, 32, async () => {
        const query = encodeURIComponent(`query { results(ids: [${'"a",'.repeat(3_000)}]) { id } }`);
        const response = await fetch(`${a.url}/graphql?query=${query}`, {
          headers: { authorization: `Bearer ${a.key}` },
          signal,
        });
        await response.arrayBuffer();
      }),
  },
];

test.for(CASES)('$title', ATTACK_TEST, async ({ title, bystander = 'iris', apiPlace = {}, act }, context) => {
  const { api, processes } = await startAttacked(servers(), apiPlace);
  await attack(context, { title, api, processes, bystander, act });
});
