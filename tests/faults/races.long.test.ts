import { test } from 'vitest';
import { startCase } from '../support/fault-case.ts';
import { usePrivateServers } from '../support/fleet.ts';
import { raceCompletions, startRacing } from '../support/racing.ts';

const NEAR = 10_000;

const servers = usePrivateServers();

test('10,000 completions within five milliseconds of their subscription are told once and soon', async (context) => {
  const it = startCase(context, '5a 10,000 completions within 5 ms of subscribing');
  const { rabbitmq, redis } = servers();
  const racing = await startRacing(it, { brokerUrl: rabbitmq.url, storeUrl: redis.url });
  await raceCompletions(it, racing, NEAR);
  await it.verify(racing.service.client, { withinMs: 30_000 });
});
