import { expect, test } from 'vitest';
import { describeService } from '../support/describe-service.ts';
import { openOtlpCollector } from '../support/otlp-collector.ts';
import { startService, useServers } from '../support/service.ts';

const IRIS = { iris: { sepalLengthCm: 5.1, sepalWidthCm: 3.5, petalLengthCm: 1.4, petalWidthCm: 0.2 } };

describeService('metrics', {}, (service) => {
  const scrape = async () => (await fetch(`${service().api.url}/metrics`)).text();
  const sample = async (series: string) => {
    const line = (await scrape()).split('\n').find((each) => each.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length));
  };

  test('count what was submitted, run and ended, by model', async () => {
    const { client } = service();
    const before = (await sample('foretell_tasks_ended_total{model="iris",state="SUCCEEDED"}')) ?? 0;
    const tasks = await client.submitAll(Array(10).fill(IRIS), { waitMs: 10_000 });
    expect(tasks.map(({ state }) => state)).toEqual(Array(10).fill('SUCCEEDED'));
    expect(await sample('foretell_tasks_ended_total{model="iris",state="SUCCEEDED"}')).toBe(before + 10);
    expect(await sample('foretell_submissions_total{model="iris"}')).toBeGreaterThanOrEqual(10);
    expect(await sample('foretell_queued_seconds_count{model="iris"}')).toBeGreaterThanOrEqual(10);
    const runs = (await sample('foretell_run_seconds_count{model="iris"}')) ?? 0;
    expect(runs).toBeGreaterThan(0);
    expect(await sample('foretell_batch_size_sum{model="iris"}')).toBeGreaterThanOrEqual(10);
    expect(await sample('foretell_batch_size_count{model="iris"}')).toBe(runs);
  });

  test('tell what is so at present: queues, subscriptions, deliveries, inference processes', async () => {
    const { client } = service();
    expect(await sample('foretell_queue_messages{model="iris",lane="normal"}')).toBe(0);
    expect(await sample('foretell_queue_messages{model="iris",lane="high"}')).toBe(0);
    expect(await sample('foretell_inference_restarts_total')).toBe(0);
    expect(await sample('foretell_sessions')).toBeGreaterThanOrEqual(1);
    const { id } = await client.submit(IRIS);
    await client.completed(id);
    await expect.poll(() => sample('foretell_open_subscriptions')).toBe(0);
    await expect.poll(() => sample('foretell_held_deliveries')).toBe(0);
  });

  test('count tasks that were cancelled and that expired', async () => {
    const { client } = service();
    const expired = (await sample('foretell_tasks_ended_total{model="iris",state="EXPIRED"}')) ?? 0;
    const { state } = await client.submit(IRIS, { expiresInMs: 1, waitMs: 10_000 });
    // One millisecond is little, yet a worker may be quicker.
    const counted = async () => (await sample('foretell_tasks_ended_total{model="iris",state="EXPIRED"}')) ?? 0;
    await expect.poll(counted).toBe(expired + (state === 'EXPIRED' ? 1 : 0));
  });
});

const servers = useServers('RabbitMQ and Redis');

test('what is true of the deployment is told by one of several APIs, and by another when that one closes', async () => {
  const services = [await startService({ servers }), await startService({ servers, withWorker: false })];
  const tells = (prefix: string) => async () => {
    const texts = await Promise.all(services.map(({ metrics }) => metrics.exposition()));
    return texts.map((text) => text.includes(`\n${prefix}{model="iris"`));
  };
  for (const name of ['foretell_queue_messages', 'foretell_model_faults']) {
    await expect.poll(tells(name)).toEqual(expect.arrayContaining([true, false]));
  }
  const [first = false] = await tells('foretell_queue_messages')();
  await services[first ? 0 : 1]?.close();
  await expect.poll(async () => (await tells('foretell_queue_messages')())[first ? 1 : 0]).toBe(true);
});

test('a trace leads from the client through the mutation and the message to the pushed event', async () => {
  const collector = await openOtlpCollector();
  const service = await startService({ servers, otlpEndpoint: collector.url, serviceName: 'foretell-test' });
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
  const response = await fetch(`${service.api.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', traceparent: `00-${traceId}-00f067aa0ba902b7-01` },
    body: JSON.stringify({
      query: 'mutation ($input: PredictionInput!) { submitPrediction(input: $input) { id } }',
      variables: { input: IRIS },
    }),
  });
  const { data } = (await response.json()) as { data: { submitPrediction: { id: string } } };
  const { id } = data.submitPrediction;
  await service.client.completed(id);
  const [submit, publish, process, run, push] = await collector.first(
    'submitPrediction',
    'publish',
    'process',
    'run',
    'taskCompleted',
  );
  expect([submit, publish, process, run, push].map((span) => span?.traceId)).toEqual(Array(5).fill(traceId));
  expect(submit).toMatchObject({ kind: 'server', parentSpanId: '00f067aa0ba902b7', service: 'foretell-test' });
  expect(publish).toMatchObject({ kind: 'producer', parentSpanId: submit?.spanId });
  // Through the header of the message.
  expect(process).toMatchObject({ kind: 'consumer', parentSpanId: publish?.spanId });
  expect(run).toMatchObject({ kind: 'internal', parentSpanId: process?.spanId });
  expect(push).toMatchObject({ kind: 'producer', parentSpanId: submit?.spanId });
  for (const span of [publish, process]) expect(span?.attributes).toMatchObject({ 'messaging.message.id': id });
  for (const span of [process, run, push]) expect(span?.attributes).toMatchObject({ 'foretell.task.id': id });
});
