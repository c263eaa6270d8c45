import { randomUUID } from 'node:crypto';
import { test } from 'vitest';
import { usePrivateServers } from '../support/fleet.ts';
import { FLOWER } from '../support/models.ts';
import { type Attacker, keepUp } from './attacker.ts';
import { startAttacked } from './fleet.ts';
import { echo } from './observation.ts';
import { ATTACK_TEST, attack } from './stage.ts';

const servers = usePrivateServers();
const MIB = 2 ** 20;

const RESULTS = `query ($a: ID!) { results(ids: [${Array(100).fill('$a').join(' ')}]) { id } }`;
const COMPLETED = 'subscription ($id: ID!) { taskCompleted(id: $id) { id } }';
const SUBMIT = 'mutation ($input: PredictionInput!) { submitPrediction(input: $input) { id } }';
const json = (query: string, variables: string) => `{"query":${JSON.stringify(query)},"variables":${variables}}`;

/** A task that nothing runs: of a version's queue that holds more than its worker may begin. */
const submitOne = async (a: Attacker, options: Record<string, unknown> = {}) =>
  (await a.client.submit({ iris: FLOWER }, options)).id;

interface Case {
  title: string;
  act: (a: Attacker, signal: AbortSignal) => Promise<unknown>;
}

const CASES: Case[] = [
  {
    title: 'an id of 5.4 MB, a hundred times',
    act: (a, signal) => keepUp(signal, 2, () => a.ask(RESULTS, { a: 'A'.repeat(5_400_000) }, signal)),
  },
  {
    title: 'a thousand ids of 50 kB in one subscription',
    act: (a, signal) => {
      const ids = Array.from({ length: 1_000 }, () => 'A'.repeat(50_000));
      const query = 'subscription ($ids: [ID!]!) { tasksCompleted(ids: $ids) { id } }';
      const body = JSON.stringify({ query, variables: { ids } });
      return keepUp(signal, 2, () => a.post(body, { accept: 'text/event-stream' }, signal));
    },
  },
  {
    title: 'streams whose variables hold 40 MiB that nothing uses',
    act: async (a) => {
      const id = await submitOne(a, { priority: 'NORMAL' });
      const junk = `{"a":[${'{},'.repeat((40 * MIB) / 3)}{}]}`;
      const body = json(COMPLETED, `{"id":"${id}","junk":${junk}}`);
      for (let i = 0; i < 5; i += 1) await a.sendUnread(body, { accept: 'text/event-stream' });
    },
  },
  {
    title: '64 MiB of empty objects',
    act: (a, signal) => {
      const body = json(SUBMIT, `{"input":[${'{},'.repeat((60 * MIB) / 3)}{}]}`);
      return keepUp(signal, 2, () => a.post(body, {}, signal));
    },
  },
  {
    title: 'JSON that is ten million lists deep',
    act: (a, signal) => {
      const body = json(SUBMIT, `{"input":${'['.repeat(10_000_000)}${']'.repeat(10_000_000)}}`);
      return keepUp(signal, 2, () => a.post(body, {}, signal));
    },
  },
  {
    title: 'an input of 80,000 unknown keys',
    act: (a, signal) => {
      const keys = Array.from({ length: 80_000 }, (_, i) => `"k${i}":1`).join(',');
      return keepUp(signal, 4, () => a.post(json(SUBMIT, `{"input":{${keys}}}`), {}, signal));
    },
  },
  {
    title: 'an input of a million wrong elements',
    act: (a, signal) => {
      const rows = `[${'"x",'.repeat(1_000_000)}"x"]`;
      const input = `{"tensors":{"model":"echo","inputs":[{"name":"x","datatype":"FP32","shape":[1,1000001],"data":{"floats":${rows}}}]}}`;
      return keepUp(signal, 2, () => a.post(json(SUBMIT, `{"input":${input}}`), {}, signal));
    },
  },
  {
    title: 'a million variables that the operation does not know',
    act: (a, signal) => {
      const keys = Array.from({ length: 1_000_000 }, (_, i) => `"v${i}":1`).join(',');
      return keepUp(signal, 2, () => a.post(json('{ __typename }', `{${keys}}`), {}, signal));
    },
  },
  {
    title: 'documents of unknown fields, each another',
    act: (a, signal) =>
      keepUp(signal, 8, (i) => {
        const fields = Array.from({ length: 400 }, (_, j) => `field${i}x${j}`).join(' ');
        return a.ask(`{ models { ${fields} } }`, {}, signal);
      }),
  },
  {
    title: 'fragments that overlap',
    act: (a, signal) =>
      keepUp(signal, 4, (i) => {
        const fragments = Array.from({ length: 60 }, (_, j) => `fragment F${j} on Model { name ...F${(j + 1) % 60} }`);
        return a.ask(
          `query q${i} { models { ${Array.from({ length: 60 }, (_, j) => `...F${j}`).join(' ')} } } ${fragments.join(' ')}`,
          {},
          signal,
        );
      }),
  },
  {
    title: 'a document of 60 MB that is one comment',
    act: (a, signal) => {
      const body = JSON.stringify({ query: `{ __typename } #${'x'.repeat(60_000_000)}` });
      return keepUp(signal, 2, () => a.post(body, {}, signal));
    },
  },
  {
    title: 'introspection, as often as it is answered',
    act: (a, signal) =>
      keepUp(signal, 8, (i) =>
        a.ask(
          `query q${i} { __schema { types { name fields { name args { name type { name ofType { name ofType { name } } } } type { name ofType { name ofType { name } } } } } } }`,
          {},
          signal,
        ),
      ),
  },
  {
    title: 'thousands of models under aliases',
    act: (a, signal) => {
      const fields = 'name version description digest inputs { name datatype shape } outputs { name datatype shape }';
      const aliases = Array.from({ length: 15 }, (_, i) => `m${i}: models { ${fields} }`).join(' ');
      return keepUp(signal, 16, () => a.ask(`{ ${aliases} }`, {}, signal));
    },
  },
  {
    title: 'bulks of a thousand, one after the other',
    act: (a, signal) => {
      const query = 'mutation ($inputs: [PredictionInput!]!) { submitPredictions(inputs: $inputs) { id } }';
      const inputs = Array(1_000).fill({ iris: {} });
      return keepUp(signal, 4, () => a.ask(query, { inputs }, signal));
    },
  },
  {
    title: '32 MB of tensors, sixteen at once',
    act: (a, signal) => {
      const body = JSON.stringify({ query: SUBMIT, variables: { input: echo(8_000_000) } });
      return keepUp(signal, 16, () => a.post(body, {}, signal));
    },
  },
  {
    title: '8 million floats as numbers, eight at once',
    act: (a, signal) => {
      const list = `[${'1,'.repeat(7_999_999)}1]`;
      const input = `{"tensors":{"model":"echo","inputs":[{"name":"x","datatype":"FP32","shape":[1,8000000],"data":{"floats":${list}}}]}}`;
      return keepUp(signal, 8, () => a.post(json(SUBMIT, `{"input":${input}}`), {}, signal));
    },
  },
  {
    title: 'a million floats in 150 inputs of a bulk',
    act: (a, signal) => {
      const data = { floats: Array(1_000_000).fill(1) };
      const input = { model: 'echo', inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 1_000_000], data }] };
      const inputs = '{ tensors: $input } '.repeat(150);
      const query = `mutation ($input: TensorsInput!) { submitPredictions(inputs: [${inputs}]) { id } }`;
      return keepUp(signal, 2, () => a.ask(query, { input }, signal));
    },
  },
  {
    title: 'fifteen million ids of a stream',
    act: (a, signal) => {
      const query = 'subscription ($ids: [ID!]!) { tasksCompleted(ids: $ids) { id } }';
      const body = json(query, `{"ids":[${'1,'.repeat(14_900_000)}1]}`);
      return keepUp(signal, 3, () => a.post(body, { accept: 'text/event-stream' }, signal));
    },
  },
  {
    title: 'unknown ids by the thousand',
    act: (a, signal) => {
      const query = 'query ($ids: [ID!]!) { results(ids: $ids) { id state } }';
      return keepUp(signal, 16, () => a.ask(query, { ids: Array.from({ length: 1_000 }, () => randomUUID()) }, signal));
    },
  },
  {
    title: 'five thousand submissions that wait for half a minute',
    act: async (a, signal) => {
      const input = {
        tensors: {
          model: 'slow',
          inputs: [{ name: 'rounds', datatype: 'INT64', shape: [1], data: { longs: ['1000'] } }],
        },
      };
      const query =
        'mutation ($input: PredictionInput!) { submitPrediction(input: $input, options: { waitMs: 30000 }) { id } }';
      await Promise.all(Array.from({ length: 5_000 }, () => a.ask(query, { input }, signal)));
    },
  },
];

test.for(CASES)('$title', ATTACK_TEST, async ({ title, act }, context) => {
  const { api, processes } = await startAttacked(servers());
  await attack(context, { title, api, processes, act });
});
