import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { startCase } from '../support/fault-case.ts';
import { useFleetServers } from '../support/fleet.ts';
import { startProxy } from '../support/proxy.ts';
import { raceCompletions, startRacing } from '../support/racing.ts';

const NEAR = 1_500;

const CUT_EVERY_MS = 1_000;
const COMPLETIONS_BETWEEN_CUTS = 200;
const CUTS = 5;
/** Who wait for one task each; one more waits for all. */
const LISTENERS = 200;

const servers = useFleetServers();

test.for([
  { where: 'in one process', urls: () => ({ brokerUrl: 'memory:', storeUrl: 'memory:' }) },
  { where: 'on Redis', urls: () => ({ brokerUrl: servers().rabbitmq.url, storeUrl: servers().redis.url }) },
])(
  'completions within five milliseconds of their subscription are told once and soon, $where',
  async (pair, context) => {
    const it = startCase(context, `5a ${NEAR} completions within 5 ms of subscribing, ${pair.where}`);
    const racing = await startRacing(it, pair.urls());
    await raceCompletions(it, racing, NEAR);
    await it.verify(racing.service.client, { withinMs: 20_000 });
  },
);

test.for([
  { what: 'the subscriber connection is', alone: true },
  { what: 'both connections are', alone: false },
])('of 1,000 completions while $what cut every second, none is missed', async ({ what, alone }, context) => {
  const it = startCase(context, `5b ${what} cut every second during 1,000 completions`);
  const { rabbitmq, redis } = servers();
  const proxy = await startProxy(redis.port);
  onTestFinished(proxy.close);
  const storeUrl = `redis://127.0.0.1:${proxy.port}`;
  const { service, create, listen } = await startRacing(it, { brokerUrl: rabbitmq.url, storeUrl }, redis.url);
  const cut = async () => {
    if (alone) expect(await redis.cli('CLIENT', 'KILL', 'TYPE', 'pubsub')).not.toBe('0');
    else proxy.cut();
  };

  const tasks = await create(COMPLETIONS_BETWEEN_CUTS * CUTS);
  const ids = tasks.map(({ id }) => id);
  const listening = [listen(ids), ...it.random.some(LISTENERS, ids).map((id) => listen([id]))];
  await Promise.all(listening.map(({ begun }) => begun));
  for (let round = 0; round < CUTS; round += 1) {
    const completions = tasks.slice(round * COMPLETIONS_BETWEEN_CUTS, (round + 1) * COMPLETIONS_BETWEEN_CUTS);
    // Some fall in the gap between the cut and the new subscription.
    await Promise.all([
      cut(),
      ...completions.map(async ({ complete }) => {
        await sleep(it.random.integer(0, CUT_EVERY_MS));
        await complete();
      }),
      sleep(CUT_EVERY_MS),
    ]);
  }
  await Promise.all(listening.map(({ ended }) => ended));
  expect(service.store.watching()).toBe(0);
  await it.verify(service.client, { withinMs: 20_000 });
});
