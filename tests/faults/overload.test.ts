import { expect, test } from 'vitest';
import { predictionQueue } from '../../src/broker/topology.ts';
import { type FaultCase, startCase } from '../support/fault-case.ts';
import { type Fleet, startFleet, usePrivateServers } from '../support/fleet.ts';
import { slow } from '../support/onnx-models.ts';
import { type Answer, submitAnyway } from '../support/refusal.ts';
import { slowSample } from '../support/samples.ts';
import { residentMib } from '../support/vital-signs.ts';

const MAX_WAITING = 100;
/** What a worker may have in hand, and what may be counted late. */
const TOLERANCE = 100;
/** About as many microseconds, one after another: the queue empties within seconds. */
const ROUNDS = 30_000;
const REFUSAL_MS_MAX = 1_000;
const SUBMITTERS = 5;
const FLOOD = 2_000;
const GROWTH_MIB_MAX = 64;

const servers = usePrivateServers();

/** Submits from many sides until somebody was refused so often; every answer. */
async function flood(it: FaultCase, fleet: Fleet, refusals: number): Promise<Answer[]> {
  const answers: Answer[] = [];
  let refused = 0;
  const submitOn = async () => {
    while (refused < refusals) {
      const answer = await submitAnyway(it, fleet.client(), slowSample(ROUNDS));
      answers.push(answer);
      if (answer.refusal) refused += 1;
    }
  };
  await Promise.all(Array.from({ length: SUBMITTERS }, submitOn));
  return answers;
}

test('a full queue refuses at once and says when to come back, costs no memory, and takes tasks again', async (context) => {
  const it = startCase(context, '8 queue full');
  const models = { slow: { onnx: slow(), manifest: { maxBatch: 1, maxWaiting: MAX_WAITING } } };
  const fleet = await startFleet(servers(), { models });
  const [api] = fleet.apis;
  if (!api) throw new Error('expected an API');

  // Once to have everything loaded and grown that will be, and then in earnest.
  await flood(it, fleet, FLOOD / 4);
  const before = await residentMib(api.pid);
  const answers = await flood(it, fleet, FLOOD);
  const refused = answers.filter(({ refusal }) => refusal);
  for (const { refusal, afterMs } of refused) {
    expect(refusal).toMatchObject({
      code: 'QUEUE_FULL',
      waiting: expect.any(Number),
      retryAfterMs: expect.any(Number),
    });
    expect(afterMs).toBeLessThan(REFUSAL_MS_MAX);
  }
  expect(await residentMib(api.pid)).toBeLessThan(before + GROWTH_MIB_MAX);
  const queue = predictionQueue('slow', 'normal');
  const { messageCount } = await servers().rabbitmq.withChannel((channel) => channel.checkQueue(queue));
  expect(messageCount).toBeLessThan(MAX_WAITING + TOLERANCE);

  // As soon as there is room.
  const accepted = async () => (await submitAnyway(it, fleet.client(), slowSample(1))).id;
  await expect.poll(accepted, { timeout: 10_000, interval: 50 }).toBeDefined();
  await it.verify(fleet.client(), { withinMs: 30_000 });
});
