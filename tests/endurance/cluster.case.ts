import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { predictionQueue } from '../../src/broker/topology.ts';
import { type FaultCase, startCase } from '../support/fault-case.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { startProxy } from '../support/proxy.ts';
import type { Rabbitmq } from '../support/rabbitmq.ts';
import { type RabbitmqCluster, startRabbitmqCluster } from '../support/rabbitmq-cluster.ts';
import { startRedis } from '../support/redis.ts';
import { slowSample } from '../support/samples.ts';

const NODES = 3;
const SUBMITTERS = 8;
/** Between two submissions of one submitter. */
const PAUSE_MS = 200;
/** How long a node stays away. */
const AWAY_MS = 5_000;
/** With a node missing, submissions are accepted again within this time. */
const ACCEPTED_MS_MAX = 15_000;
const QUEUE = predictionQueue('slow', 'normal');

/** Submits, and subscribes to what is accepted, until told to stop. */
function startLoad(it: FaultCase, fleet: Fleet): () => Promise<void> {
  let isOver = false;
  const submitOn = async () => {
    while (!isOver) {
      const id = await it.submit(fleet.client(), slowSample(it.random.integer(1_000, 20_000)));
      if (id !== undefined) it.subscribe([id], fleet.client);
      await sleep(PAUSE_MS);
    }
  };
  const submitting = Array.from({ length: SUBMITTERS }, submitOn);
  return async () => {
    isOver = true;
    await Promise.all(submitting);
  };
}

/** One node is killed, stays away for a while, in which the service goes on, and comes back. */
async function loseNode(it: FaultCase, cluster: RabbitmqCluster, node: Rabbitmq): Promise<void> {
  const isLeader = (await leaderOf(cluster, QUEUE)) === node;
  await cluster.kill(node);
  const killedAt = performance.now();
  const accepted = () => it.checker.counts().accepted;
  const before = accepted();
  await expect.poll(accepted, { timeout: ACCEPTED_MS_MAX }).toBeGreaterThan(before + SUBMITTERS);
  const tookMs = Math.round(performance.now() - killedAt);
  process.stdout.write(
    `${node.name}${isLeader ? ', the leader,' : ''} killed; submissions accepted after ${tookMs} ms\n`,
  );
  await sleep(AWAY_MS);
  await cluster.restart(node);
}

/** The node that leads a queue. */
async function leaderOf(cluster: RabbitmqCluster, queue: string): Promise<Rabbitmq> {
  const [found] = (await cluster.queues(queue)).filter(({ name }) => name === queue);
  const leader = cluster.nodes.find(({ name }) => name === found?.leader);
  if (!leader) throw new Error(`expected a node to lead ${queue}, got ${found?.leader}`);
  return leader;
}

test('a cluster whose nodes are killed one after another, the leader of the queue first, loses nothing and serves on', async (context) => {
  const it = startCase(context, '9 three RabbitMQ nodes: the leader killed, then each in turn');
  const cluster = await startRabbitmqCluster(NODES);
  onTestFinished(cluster.close);
  const redis = await startRedis({ appendonly: true });
  onTestFinished(redis.close);
  // What stands in front of a cluster: it leads each connection to the next node that lives.
  let connections = 0;
  const front = await startProxy(() => {
    const living = cluster.living();
    connections += 1;
    return Number(new URL(living[connections % living.length]?.url ?? '').port);
  });
  onTestFinished(front.close);
  const [rabbitmq] = cluster.nodes;
  if (!rabbitmq) throw new Error('expected a node');
  const settings = { BROKER_URL: `amqp://127.0.0.1:${front.port}` };
  const fleet = await startFleet({ rabbitmq, redis }, { workers: 2, settings });
  const ids = await it.submitAll(fleet.client(), [slowSample(1)]);
  it.subscribe(ids, fleet.client);
  await it.told(1);
  for (const { name, members } of await cluster.queues('foretell.')) {
    expect({ name, members: members.length }).toEqual({ name, members: NODES });
  }

  const stopLoad = startLoad(it, fleet);
  await loseNode(it, cluster, await leaderOf(cluster, QUEUE));
  for (const node of it.random.shuffled(cluster.nodes)) await loseNode(it, cluster, node);
  await stopLoad();
  await it.verify(fleet.client(), { withinMs: 60_000 });
  await fleet.ready();
  expect([...fleet.apis, ...fleet.workers].every((each) => each.isAlive())).toBe(true);
});
