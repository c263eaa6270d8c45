import { expect, test } from 'vitest';
import { predictionQueue } from '../../src/broker/topology.ts';
import { startCase } from '../support/fault-case.ts';
import { startFleet, useFleetServers } from '../support/fleet.ts';
import { slowSample } from '../support/samples.ts';
import type { SharedRabbitmq } from '../support/shared-rabbitmq.ts';

const COPIES = 100;
/** Long enough for many copies to come while it runs. */
const ROUNDS = 500_000;
const QUEUE = predictionQueue('slow', 'normal');

const servers = useFleetServers();

/** Puts copies of the one message that waits in the queue behind it. */
function copyMessage({ withChannel }: SharedRabbitmq, copies: number): Promise<() => Promise<void>> {
  return withChannel(async (channel) => {
    const message = await channel.get(QUEUE);
    if (message === false) throw new Error('expected a message that waits');
    const { content, properties, fields } = message;
    const publish = () =>
      withChannel(async (other) => {
        for (let i = 0; i < copies; i += 1) other.publish(fields.exchange, fields.routingKey, content, properties);
        await other.checkQueue(QUEUE);
      });
    await publish();
    channel.ack(message);
    await channel.checkQueue(QUEUE);
    return publish;
  });
}

test('a message that is delivered a hundred times, and a hundred times after its task has ended, is one task', async (context) => {
  const it = startCase(context, '8 the same message delivered 200 times');
  const { rabbitmq } = servers();
  const fleet = await startFleet(servers());
  // The registration of the model outlives the worker.
  await fleet.workers[0]?.kill('SIGTERM');
  const sample = slowSample(ROUNDS);
  const ids = await it.submitAll(fleet.client(), [sample]);
  for (let i = 0; i < 10; i += 1) it.subscribe(ids, fleet.client);
  const query = 'subscription ($id: ID!) { taskUpdated(id: $id) { state } }';
  const updates = fleet.client().collect('taskUpdated', query, { id: ids[0] });
  const publishAgain = await copyMessage(rabbitmq, COPIES);

  await Promise.all([fleet.startWorker(), fleet.startWorker()]);
  await it.told(1);
  await publishAgain();
  const isEmpty = async () => (await rabbitmq.withChannel((channel) => channel.checkQueue(QUEUE))).messageCount === 0;
  await expect.poll(isEmpty, { timeout: 30_000 }).toBe(true);

  const ended = await it.verify(fleet.client(), { withinMs: 20_000 });
  expect([...ended.values()]).toMatchObject([{ state: 'SUCCEEDED', attempts: 1 }]);
  expect((await updates).map(({ state }) => state)).toEqual(['QUEUED', 'RUNNING', 'SUCCEEDED']);
});
