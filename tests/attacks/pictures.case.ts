import { test } from 'vitest';
import { usePrivateServers } from '../support/fleet.ts';
import { type Attacker, keepUp } from './attacker.ts';
import { startAttacked } from './fleet.ts';
import { dataUrl, interlacedPng, manyChunks, manyEscapes, manyFillBytes, tallPng } from './pictures.ts';
import { ATTACK_TEST, attack } from './stage.ts';

const servers = usePrivateServers();

const SUBMIT = 'mutation ($input: PredictionInput!) { submitPrediction(input: $input) { id } }';
const SUBMIT_ALL = 'mutation ($inputs: [PredictionInput!]!) { submitPredictions(inputs: $inputs) { id } }';

const picture = (png: Buffer) => ({ digits: { image: dataUrl(png) } });

interface Case {
  title: string;
  act: (a: Attacker, signal: AbortSignal) => Promise<unknown>;
}

const CASES: Case[] = [
  {
    title: 'a picture of 49 million rows, four at once',
    act: (a, signal) => {
      const body = JSON.stringify({ query: SUBMIT, variables: { input: picture(tallPng(49_000_000)) } });
      return keepUp(signal, 4, () => a.post(body, {}, signal));
    },
  },
  {
    title: 'interlaced pictures of 48 million pixels, eight at once',
    act: (a, signal) => {
      const body = JSON.stringify({ query: SUBMIT, variables: { input: picture(interlacedPng(6_928, 6_928)) } });
      return keepUp(signal, 8, () => a.post(body, {}, signal));
    },
  },
  {
    title: 'a bulk of 200 large pictures, four at once',
    act: (a, signal) => {
      const inputs = Array(200).fill(picture(interlacedPng(2_000, 2_000)));
      const body = JSON.stringify({ query: SUBMIT_ALL, variables: { inputs } });
      return keepUp(signal, 4, () => a.post(body, {}, signal));
    },
  },
  ...[
    { title: 'a PNG of three million chunks, ten times', file: () => manyChunks(3_000_000) },
    { title: 'a JPEG of 20 million escapes, ten times', file: () => manyEscapes(20_000_000) },
    { title: 'a JPEG of 40 million fills, ten times', file: () => manyFillBytes(40_000_000) },
  ].map(({ title, file }) => ({
    title,
    act: (a: Attacker, signal: AbortSignal) => {
      const query = `mutation ($input: DigitsInput!) { submitPredictions(inputs: [${'{ digits: $input } '.repeat(10)}]) { id } }`;
      const body = JSON.stringify({ query, variables: { input: { image: dataUrl(file()) } } });
      return keepUp(signal, 2, () => a.post(body, {}, signal));
    },
  })),
];

test.for(CASES)('$title', ATTACK_TEST, async ({ title, act }, context) => {
  const { api, processes } = await startAttacked(servers());
  await attack(context, { title, api, processes, bystander: 'picture', act });
});
