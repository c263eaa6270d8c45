import { test } from 'vitest';
import { usePrivateServers } from '../support/fleet.ts';
import { FOR_EVER } from '../support/onnx-models.ts';
import { type Attacker, keepUp } from './attacker.ts';
import { startAttacked } from './fleet.ts';
import { type BystanderInput, int64 } from './observation.ts';
import { ATTACK_TEST, attack } from './stage.ts';

const servers = usePrivateServers();

const SUBMIT =
  'mutation ($input: PredictionInput!) { submitPrediction(input: $input, options: { waitMs: 30000 }) { id } }';

interface Case {
  title: string;
  /** The model that both use. */
  model: BystanderInput;
  ordinary: unknown;
  hostile: unknown;
}

const CASES: Case[] = [
  {
    title: 'runs that take their whole time',
    model: 'slow',
    ordinary: int64('slow', { rounds: 1_000 }),
    hostile: int64('slow', { rounds: String(FOR_EVER) }),
  },
  {
    title: 'runs of one second',
    model: 'slow',
    ordinary: int64('slow', { rounds: 1_000 }),
    hostile: int64('slow', { rounds: 1_000_000 }),
  },
  {
    title: 'runs that take 30 GB',
    model: 'hoards',
    ordinary: int64('hoards', { n: 10 }),
    hostile: int64('hoards', { n: 7_500_000_000 }),
  },
  {
    title: 'runs that take 6 GB',
    model: 'hoards',
    ordinary: int64('hoards', { n: 10 }),
    hostile: int64('hoards', { n: 1_500_000_000 }),
  },
  {
    title: 'runs that crash',
    model: 'crashes',
    ordinary: int64('crashes', { x: 7, d: 2 }),
    hostile: int64('crashes', { x: String(-(2n ** 63n)), d: -1 }),
  },
];

const submit = (input: unknown) => (a: Attacker, signal: AbortSignal) =>
  keepUp(signal, 8, () => a.ask(SUBMIT, { input }, signal));

test.for(CASES)('$title', ATTACK_TEST, async ({ title, model, ordinary, hostile }, context) => {
  const { api, processes } = await startAttacked(servers());
  await attack(context, { title, api, processes, bystander: model, ordinary: submit(ordinary), act: submit(hostile) });
});
