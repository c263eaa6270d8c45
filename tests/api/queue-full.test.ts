import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { predictionQueue } from '../../src/broker/topology.ts';
import type { GraphQLAnswer } from '../support/client.ts';
import { describeService } from '../support/describe-service.ts';
import { FLOWER, IRIS, servedModel } from '../support/models.ts';

const SUBMIT = `mutation ($input: PredictionInput!, $options: SubmitOptions) { submitPrediction(input: $input, options: $options) { id } }`;
const SUBMIT_ALL = `mutation ($inputs: [PredictionInput!]!) { submitPredictions(inputs: $inputs) { id } }`;

describeService('a full queue', { withWorker: false }, (service) => {
  /** Every test has models, and so queues, of its own. */
  async function models(...limits: number[]): Promise<string[]> {
    const served = limits.map((maxWaiting) =>
      servedModel(`m${randomUUID().replaceAll('-', '')}`, IRIS.signature, { names: IRIS.names, maxWaiting }),
    );
    await service().registry.register(served);
    return served.map(({ name }) => name);
  }
  const submit = (name: string, options = {}) => service().client.ask(SUBMIT, { input: { [name]: FLOWER }, options });
  const submitAll = (...names: string[]) =>
    service().client.ask(SUBMIT_ALL, { inputs: names.map((name) => ({ [name]: FLOWER })) });
  const consume = (name: string, each: () => Promise<void>) =>
    service().broker.consume({ queue: predictionQueue(name, 'normal'), prefetch: 1 }, async () => {
      await each();
      return 'ack';
    });
  /** What is said of so many together that they are refused. */
  async function refusalOf(name: string, count: number): Promise<Record<string, unknown> | undefined> {
    return (await submitAll(...Array<string>(count).fill(name))).errors?.[0]?.extensions;
  }
  async function drain(name: string): Promise<void> {
    const consumer = await consume(name, async () => undefined);
    await expect.poll(() => waiting(name), { interval: 20, timeout: 10_000 }).toBe(0);
    await consumer.close();
  }
  const waiting = async (name: string) => (await service().waiting(name)) + (await service().waiting(name, 'high'));

  test('one after the other: as many as may wait are accepted, the rest are told how many wait and when to come back', async () => {
    const [name = ''] = await models(50);
    const answers: GraphQLAnswer<unknown>[] = [];
    for (let i = 0; i < 60; i++) answers.push(await submit(name, { priority: i % 2 ? 'HIGH' : 'NORMAL' }));
    const codes = answers.map(codeOf);
    const accepted = codes.indexOf('QUEUE_FULL');
    // One that is published while the queue is looked at may be counted twice for a quarter of a second.
    expect(accepted).toBeGreaterThanOrEqual(49);
    expect(accepted).toBeLessThanOrEqual(50);
    expect(answers.at(-1)?.errors?.[0]?.extensions).toEqual({
      code: 'QUEUE_FULL',
      waiting: 50,
      limit: 50,
      retryAfterMs: expect.any(Number),
    });
    const all = codes.filter((code) => code === undefined).length;
    expect(all).toBeLessThanOrEqual(50);
    expect(await waiting(name)).toBe(all);
  });

  test('many at once: no more than may wait are accepted, and nobody waits for the refusal', async () => {
    const [name = ''] = await models(50);
    const begun = performance.now();
    const answers = await Promise.all(Array.from({ length: 200 }, () => submit(name)));
    expect(answers.map(codeOf).filter((code) => code === undefined)).toHaveLength(50);
    expect(await waiting(name)).toBe(50);
    const refusedAt = performance.now();
    expect(codeOf(await submit(name))).toBe('QUEUE_FULL');
    expect(performance.now() - refusedAt).toBeLessThan(1_000);
    expect(performance.now() - begun).toBeLessThan(20_000);
  });

  test('a call that does not fit whole is refused whole, also for the sake of one of its models', async () => {
    const [small = '', large = ''] = await models(3, 1_000);
    expect(codeOf(await submitAll(small, small))).toBeUndefined();
    expect(codeOf(await submitAll(large, small, small))).toBe('QUEUE_FULL');
    expect([await waiting(small), await waiting(large)]).toEqual([2, 0]);
    expect(codeOf(await submitAll(large, small))).toBeUndefined();
  });

  test('a queue that was drained takes as many again, time after time', async () => {
    const [name = ''] = await models(20);
    for (let round = 0; round < 3; round++) {
      const accepted = (await Promise.all(Array.from({ length: 40 }, () => submit(name)))).map(codeOf);
      // What is confirmed while the queue is looked at may count twice, for a moment.
      expect(accepted.filter((code) => code === undefined).length).toBeGreaterThan(10);
      expect(await waiting(name)).toBeLessThanOrEqual(20);
      await drain(name);
      await expect.poll(() => refusalOf(name, 21), { interval: 20, timeout: 10_000 }).toMatchObject({ waiting: 0 });
    }
    const codes: unknown[] = [];
    for (let i = 0; i < 21; i++) codes.push(codeOf(await submit(name)));
    // The same moment.
    expect(codes.indexOf('QUEUE_FULL')).toBeGreaterThanOrEqual(19);
    expect(codes.filter((code) => code === undefined).length).toBeLessThanOrEqual(20);
  });

  test('who comes back is told when there will be room, from how fast the queue drains', async () => {
    const [name = ''] = await models(100);
    await submitAll(...Array.from({ length: 100 }, () => name));
    expect((await submit(name)).errors?.[0]?.extensions).toMatchObject({ waiting: 100, retryAfterMs: 5_000 });
    // Some ten a second.
    const consumer = await consume(name, () => sleep(100));
    const retryAfterMs = async () => (await refusalOf(name, 100))?.['retryAfterMs'];
    await expect.poll(retryAfterMs, { interval: 300, timeout: 10_000 }).toBeLessThan(5_000);
    await consumer.close();
  });
});

function codeOf({ errors }: GraphQLAnswer<unknown>): string | undefined {
  return errors?.[0]?.extensions.code;
}
