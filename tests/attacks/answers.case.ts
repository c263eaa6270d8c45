import { test } from 'vitest';
import { Client } from '../support/client.ts';
import { usePrivateServers } from '../support/fleet.ts';
import { type Attacker, keepUp } from './attacker.ts';
import { startAttacked } from './fleet.ts';
import { type BystanderInput, echo } from './observation.ts';
import { ATTACK_TEST, attack, KEYS } from './stage.ts';

const servers = usePrivateServers();

/** A result of so many floats, of an owner's own. */
async function resultOf(a: Attacker, floats: number): Promise<string> {
  const { id } = await a.client.submit(echo(floats), { waitMs: 30_000 });
  return id;
}

const FORMS = ['floats', 'ints', 'longs', 'booleans', 'strings', 'base64'];
/** The same tensor under so many names. */
const aliases = (count: number) =>
  Array.from({ length: count }, (_, i) => `a${i}: ${FORMS[i % FORMS.length]}`).join(' ');
const outputs = (fields: string) => `prediction { ... on TensorsPrediction { outputs { ${fields} } } }`;
const RESULT = (fields: string) => `query ($id: ID!) { result(id: $id) { id ${outputs(fields)} } }`;
const COMPLETED = `subscription ($id: ID!) { taskCompleted(id: $id) { id ${outputs('base64')} } }`;

interface Case {
  title: string;
  bystander?: BystanderInput;
  /** Floats of A's result. */
  floats: number;
  act: (a: Attacker, id: string, signal: AbortSignal) => Promise<unknown>;
}

const CASES: Case[] = [
  {
    title: 'thirty aliases of a result of 8 MB',
    floats: 2_000_000,
    act: (a, id, signal) => keepUp(signal, 2, () => a.ask(RESULT(aliases(30)), { id }, signal)),
  },
  {
    title: 'a result of 8 MB as numbers, ten at once',
    floats: 2_000_000,
    act: (a, id, signal) => keepUp(signal, 10, () => a.ask(RESULT('floats'), { id }, signal)),
  },
  {
    title: 'seven answers of 40 MB that are never read',
    bystander: 'large',
    floats: 8_000_000,
    act: async (a, id, signal) => {
      const body = JSON.stringify({ query: RESULT('base64'), variables: { id } });
      for (let i = 0; i < 7; i += 1) await a.sendUnread(body);
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  },
  {
    title: 'seventy streams of a result of 40 MB that are never read',
    bystander: 'large',
    floats: 8_000_000,
    act: async (a, id, signal) => {
      const body = JSON.stringify({ query: COMPLETED, variables: { id } });
      await Promise.all(Array.from({ length: 70 }, () => a.sendUnread(body, { accept: 'text/event-stream' })));
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  },
  {
    title: 'results of 8 MB by the dozen in one operation',
    floats: 2_000_000,
    act: (a, id, signal) => {
      const fields = Array.from({ length: 12 }, (_, i) => `r${i}: result(id: $id) { id ${outputs('base64')} }`);
      return keepUp(signal, 4, () => a.ask(`query ($id: ID!) { ${fields.join(' ')} }`, { id }, signal));
    },
  },
  {
    title: 'typenames by the thousand',
    floats: 1,
    act: (a, id, signal) => {
      const names = Array.from({ length: 300 }, (_, i) => `t${i}: __typename`).join(' ');
      const query = `query ($ids: [ID!]!) { results(ids: $ids) { ${names} } }`;
      return keepUp(signal, 4, () => a.ask(query, { ids: Array(1_000).fill(id) }, signal));
    },
  },
];

test.for(CASES)('$title', ATTACK_TEST, async ({ title, floats, bystander = 'iris', act }, context) => {
  const { api, processes } = await startAttacked(servers());
  let id = '';
  await attack(context, {
    title,
    api,
    processes,
    bystander,
    prepare: async (a) => {
      id = await resultOf(a, floats);
    },
    act: (a, signal) => act(a, id, signal),
  });
});

test("another's result of 8 MB, again and again", ATTACK_TEST, async (context) => {
  const { api, processes } = await startAttacked(servers());
  const b = new Client(api.url, KEYS.b);
  const { id } = await b.submit(echo(2_000_000), { waitMs: 30_000 });
  const query = RESULT('name');
  await attack(context, {
    title: "another's result of 8 MB, again and again",
    api,
    processes,
    act: (a, signal) => keepUp(signal, 32, () => a.ask(query, { id }, signal)),
  });
});
