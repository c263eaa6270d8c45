import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { startCase } from '../support/fault-case.ts';
import { startFleet, usePrivateServers } from '../support/fleet.ts';
import { slowSample } from '../support/samples.ts';

const SUBMITS = 2_000;
const CLIENTS = 20;
/** So that the workers always have some in hand, whose acks the killed broker does not get. */
const SLOW_ONE_IN = 20;
const SLOW_ROUNDS = 150_000;
/** How long a client that was refused waits before it submits another. */
const PAUSE_MS = 500;
/** Tasks that one subscription waits for. */
const TOGETHER = 25;

const servers = usePrivateServers();

test('of 2,000 submits in the middle of which the broker is killed and restarted, each id given out completes, and each refusal comes soon', async (context) => {
  const it = startCase(context, '2 SIGKILL the broker during 2,000 submits');
  const fleet = await startFleet(servers(), { workers: 2 });
  const { rabbitmq } = fleet;
  // Its queues are there from the registration of the models on; but it is killed whenever it likes.
  await rabbitmq.flushQueueNames();
  const samples = Array.from({ length: SUBMITS }, (_, i) =>
    slowSample(i % SLOW_ONE_IN === 0 ? SLOW_ROUNDS : it.random.integer(1_000, 10_000)),
  );
  const killAt = it.random.integer(SUBMITS / 10, SUBMITS / 2);
  let restarted: Promise<void> | undefined;
  let submitted = 0;

  async function submitOn(): Promise<void> {
    let taken: string[] = [];
    for (let sample = samples.pop(); sample; sample = samples.pop()) {
      submitted += 1;
      if (submitted === killAt) restarted = rabbitmq.kill().then(() => rabbitmq.start());
      const id = await it.submit(fleet.client(), sample);
      if (id === undefined) await sleep(PAUSE_MS);
      else taken.push(id);
      if (taken.length < TOGETHER && samples.length > 0) continue;
      it.subscribe(taken, fleet.client);
      taken = [];
    }
    if (taken.length > 0) it.subscribe(taken, fleet.client);
  }
  await Promise.all(Array.from({ length: CLIENTS }, submitOn));
  await restarted;

  await it.verify(fleet.client(), { withinMs: 90_000 });
  const { accepted, refused } = it.checker.counts();
  expect(accepted + refused).toBe(SUBMITS);
  // It was away while they submitted, and they went on when it was back.
  expect(refused).toBeGreaterThan(0);
  expect(accepted).toBeGreaterThan(killAt);
  await fleet.ready();
});
