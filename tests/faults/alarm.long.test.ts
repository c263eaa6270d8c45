import { expect, onTestFinished, test } from 'vitest';
import { predictionQueue } from '../../src/broker/topology.ts';
import { startCase } from '../support/fault-case.ts';
import { startFleet, usePrivateServers } from '../support/fleet.ts';
import { submitAnyway } from '../support/refusal.ts';
import { slowSample } from '../support/samples.ts';

/** Some seconds of work, so that most of it is done during the alarm. */
const TASKS = 200;
const REFUSED = 5;
const REFUSAL_MS_MAX = 6_000;

const servers = usePrivateServers();

test.for([
  {
    what: 'memory',
    sound: ['set_vm_memory_high_watermark', '0.00001'],
    end: ['set_vm_memory_high_watermark', '0.4'],
  },
  { what: 'disk', sound: ['set_disk_free_limit', '100000000000000000'], end: ['set_disk_free_limit', '1000000'] },
])(
  'while RabbitMQ is short of $what, what was accepted completes, and the rest is refused in time',
  async ({ what, sound, end }, context) => {
    const it = startCase(context, `8 RabbitMQ short of ${what}`);
    const { rabbitmq } = servers();
    const fleet = await startFleet(servers());
    const [api] = fleet.apis;
    const client = fleet.client();
    const submitSome = async () => {
      const ids = await it.submitAll(
        client,
        Array.from({ length: TASKS }, () => slowSample(it.random.integer(20_000, 60_000))),
      );
      it.subscribe(ids, fleet.client);
      for (const id of it.random.some(20, ids)) it.subscribe([id], fleet.client);
    };
    await submitSome();

    onTestFinished(async () => void (await rabbitmq.ctl(...end)));
    await rabbitmq.ctl(...sound);
    // RabbitMQ tells a connection when it next publishes: until then nothing is known of the alarm.
    for (let i = 0; i < REFUSED; i += 1) {
      const { refusal, afterMs } = await submitAnyway(it, client, slowSample(1));
      expect(refusal?.code).toBe('BROKER_UNAVAILABLE');
      expect(afterMs).toBeLessThan(REFUSAL_MS_MAX);
    }
    await api?.unready();
    await it.told(TASKS);
    expect(await api?.probe('/healthz')).toBe(200);

    await rabbitmq.ctl(...end);
    await fleet.ready();
    await submitSome();
    await it.verify(client, { withinMs: 60_000 });
    // What had been refused, and arrived after the alarm, was dropped.
    const left = () => rabbitmq.withChannel((channel) => channel.checkQueue(predictionQueue('slow', 'normal')));
    await expect.poll(async () => (await left()).messageCount, { timeout: 10_000 }).toBe(0);
    expect([...fleet.apis, ...fleet.workers].every((each) => each.isAlive())).toBe(true);
  },
);
