import { expect, test } from 'vitest';
import { startCase } from '../support/fault-case.ts';
import { startFleet, usePrivateServers } from '../support/fleet.ts';
import { slow } from '../support/onnx-models.ts';
import { submitUntilRefused } from '../support/refusal.ts';
import { slowSample } from '../support/samples.ts';
import { residentMib } from '../support/vital-signs.ts';

const MODELS = { slow: { onnx: slow(), manifest: { maxBatch: 1, maxWaiting: 100 } } };
/** Without a limit Node lets the heap grow to some hundreds of MiB before it collects what is dead. */
const SETTINGS = { NODE_OPTIONS: '--max-old-space-size=128' };
const WARMING = 2_000;
const FLOOD = 5_000;
const GROWTH_MIB_MAX = 32;

const servers = usePrivateServers();

test('a flood that is refused costs the API no memory, and what was accepted completes', async (context) => {
  const it = startCase(context, '8 queue full, under a flood');
  const fleet = await startFleet(servers(), { models: MODELS, settings: SETTINGS });
  const [api] = fleet.apis;
  if (!api) throw new Error('expected an API');
  const sample = slowSample(30_000);
  await submitUntilRefused(it, fleet.client(), { sample, times: WARMING });
  const before = await residentMib(api.pid);
  await submitUntilRefused(it, fleet.client(), { sample, times: FLOOD });
  expect(await residentMib(api.pid)).toBeLessThan(before + GROWTH_MIB_MAX);
  await it.verify(fleet.client(), { withinMs: 30_000 });
});
