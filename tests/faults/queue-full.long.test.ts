import { expect, test } from 'vitest';
import { predictionQueue } from '../../src/broker/topology.ts';
import { startCase } from '../support/fault-case.ts';
import { startFleet, usePrivateServers } from '../support/fleet.ts';
import { slow } from '../support/onnx-models.ts';
import { submitAnyway, submitUntilRefused } from '../support/refusal.ts';
import { slowSample } from '../support/samples.ts';

const MAX_WAITING = 100;
/** What a worker may have in hand, and what may be counted late. */
const TOLERANCE = 100;
/** About as many microseconds, one after another: the queue empties within seconds. */
const ROUNDS = 30_000;
const REFUSALS = 1_000;
const REFUSAL_MS_MAX = 1_000;
const MODELS = { slow: { onnx: slow(), manifest: { maxBatch: 1, maxWaiting: MAX_WAITING } } };

const servers = usePrivateServers();

test('a full queue refuses at once and says when to come back, and takes tasks again as soon as there is room', async (context) => {
  const it = startCase(context, '8 queue full');
  const fleet = await startFleet(servers(), { models: MODELS });
  const flood = { sample: slowSample(ROUNDS), times: REFUSALS };
  const answers = await submitUntilRefused(it, fleet.client(), flood);
  for (const { refusal, afterMs } of answers.filter((answer) => answer.refusal)) {
    expect(refusal).toMatchObject({
      code: 'QUEUE_FULL',
      waiting: expect.any(Number),
      retryAfterMs: expect.any(Number),
    });
    expect(afterMs).toBeLessThan(REFUSAL_MS_MAX);
  }
  const queue = predictionQueue('slow', 'normal');
  const { messageCount } = await servers().rabbitmq.withChannel((channel) => channel.checkQueue(queue));
  expect(messageCount).toBeLessThan(MAX_WAITING + TOLERANCE);

  const accepted = async () => (await submitAnyway(it, fleet.client(), slowSample(1))).id;
  await expect.poll(accepted, { timeout: 10_000, interval: 50 }).toBeDefined();
  await it.verify(fleet.client(), { withinMs: 30_000 });
});
