import { expect, onTestFinished, test } from 'vitest';
import { AppError } from '../../src/errors.ts';
import type { Tracing } from '../../src/telemetry/tracing.ts';
import { messageAttributes, taskAttributes } from '../../src/telemetry/tracing-attributes.ts';
import { openTracing } from '../../src/telemetry/tracing-open.ts';
import { freePort } from '../support/free-port.ts';
import { openOtlpCollector } from '../support/otlp-collector.ts';
import { createTestLog, type TestLog } from '../support/test-log.ts';

const CALLER = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' };
const TRACEPARENT = `00-${CALLER.traceId}-${CALLER.spanId}-01`;

/** No promise may float, whatever the collector does. */
const unhandled: unknown[] = [];
process.on('unhandledRejection', (reason) => unhandled.push(reason));

async function open(endpoint: string | undefined, log: TestLog = createTestLog(), service = 'foretell-api') {
  const tracing = await openTracing({ endpoint, service, log });
  onTestFinished(() => tracing.close());
  return tracing;
}

async function elapsedMs(work: () => Promise<unknown>): Promise<number> {
  const begunAt = performance.now();
  await work();
  return performance.now() - begunAt;
}

/** The walk of one prediction, as an API and a worker tell it. */
async function walk(api: Tracing, worker: Tracing, parent: string | undefined): Promise<void> {
  const submission = { id: 'a1', model: { name: 'iris', version: '1', fingerprint: 'f' } };
  const message = { exchange: 'foretell', queue: 'foretell.iris', message: { id: 'a1', body: new Uint8Array(64) } };
  const attributes = () => taskAttributes(submission);
  const [submitted, published] = await api.span(
    'submitPrediction',
    { kind: 'server', parent, attributes },
    async ({ traceparent }) =>
      api.span(
        'publish',
        {
          kind: 'producer',
          parent: traceparent,
          attributes: () => messageAttributes({ operation: 'publish', ...message }),
        },
        async (publish) => [traceparent, publish.traceparent],
      ),
  );
  const process = worker.start('process', {
    kind: 'consumer',
    parent: published,
    attributes: () => messageAttributes({ operation: 'process', ...message }),
  });
  await worker.span('run', { parent: process.traceparent }, async (run) => run.set({ 'foretell.batch.size': 3 }));
  process.end();
  await api.span('taskCompleted', { parent: submitted, attributes }, async () => undefined);
}

test('a prediction is one trace, from the client’s call over the message to the pushed event', async () => {
  const collector = await openOtlpCollector();
  const [api, worker] = [await open(collector.url), await open(collector.url, createTestLog(), 'foretell-worker')];
  await walk(api, worker, TRACEPARENT);
  await Promise.all([api.close(), worker.close()]);

  const names = ['submitPrediction', 'publish', 'process', 'run', 'taskCompleted'];
  const [submit, publish, process, run, push] = await collector.first(...names);
  expect(collector.spans()).toHaveLength(names.length);
  expect(new Set(collector.spans().map(({ traceId }) => traceId))).toEqual(new Set([CALLER.traceId]));
  expect(submit).toMatchObject({ parentSpanId: CALLER.spanId, kind: 'server', service: 'foretell-api' });
  expect(submit?.attributes).toEqual({
    'foretell.task.id': 'a1',
    'foretell.model.name': 'iris',
    'foretell.model.version': '1',
  });
  expect(publish).toMatchObject({ parentSpanId: submit?.spanId, kind: 'producer' });
  expect(publish?.attributes).toMatchObject({
    'messaging.system': 'rabbitmq',
    'messaging.destination.name': 'foretell:foretell.iris',
    'messaging.message.id': 'a1',
    'messaging.message.body.size': 64,
    'messaging.operation.type': 'send',
  });
  expect(process).toMatchObject({ parentSpanId: publish?.spanId, kind: 'consumer', service: 'foretell-worker' });
  expect(run).toMatchObject({ parentSpanId: process?.spanId, kind: 'internal' });
  expect(run?.attributes).toEqual({ 'foretell.batch.size': 3 });
  expect(push).toMatchObject({ parentSpanId: submit?.spanId, service: 'foretell-api' });
  for (const { startedAt, endedAt } of collector.spans()) expect(endedAt).toBeGreaterThanOrEqual(startedAt);
});

test('spans arrive by themselves, soon after they ended', async () => {
  const collector = await openOtlpCollector();
  const tracing = await open(`${collector.url}/`);
  tracing.start('publish', {}).end();
  expect(await collector.first('publish')).toHaveLength(1);
});

test('a span that fails says why, and passes the error on', async () => {
  const collector = await openOtlpCollector();
  const tracing = await open(collector.url);
  const refused = new AppError('BROKER_UNAVAILABLE', 'the broker did not confirm');
  await expect(tracing.span('publish', {}, () => Promise.reject(refused))).rejects.toBe(refused);
  tracing.start('run', {}).end('lost');
  await tracing.close();
  const [publish, run] = await collector.first('publish', 'run');
  expect(publish).toMatchObject({ failure: 'the broker did not confirm' });
  expect(publish?.attributes).toEqual({ 'error.type': 'BROKER_UNAVAILABLE' });
  expect(run).toMatchObject({ failure: 'lost', attributes: { 'error.type': 'string' } });
});

test('a parent that is malformed counts as none, one of a version to come is read', async () => {
  const collector = await openOtlpCollector();
  const tracing = await open(collector.url);
  const malformed = [
    '',
    'x'.repeat(60_000),
    `${TRACEPARENT}, ${TRACEPARENT}`,
    `${TRACEPARENT}-more`,
    TRACEPARENT.toUpperCase(),
    `ff-${CALLER.traceId}-${CALLER.spanId}-01`,
    `00-${'0'.repeat(32)}-${CALLER.spanId}-01`,
    `00-${CALLER.traceId}-${'0'.repeat(16)}-01`,
  ];
  for (const parent of malformed) tracing.start('root', { parent }).end();
  tracing.start('child', { parent: `cc-${CALLER.traceId}-${CALLER.spanId}-01-more` }).end();
  await tracing.close();
  const spans = collector.spans();
  expect(spans.filter(({ name }) => name === 'root').map(({ parentSpanId }) => parentSpanId)).toEqual(
    malformed.map(() => ''),
  );
  expect(spans.find(({ name }) => name === 'child')).toMatchObject({
    traceId: CALLER.traceId,
    parentSpanId: CALLER.spanId,
  });
});

test('what a caller does not want traced is not, here or further on', async () => {
  const collector = await openOtlpCollector();
  const tracing = await open(collector.url);
  const span = tracing.start('submitPrediction', { parent: `00-${CALLER.traceId}-${CALLER.spanId}-00` });
  expect(span.traceparent).toMatch(new RegExp(`^00-${CALLER.traceId}-[0-9a-f]{16}-00$`));
  const child = tracing.start('publish', { parent: span.traceparent });
  expect(child.traceparent).toMatch(/-00$/);
  child.end();
  span.end();
  tracing.start('other', {}).end();
  await tracing.close();
  expect(collector.spans().map(({ name }) => name)).toEqual(['other']);
});

test('without an endpoint nothing is traced', async () => {
  const tracing = await open(undefined);
  const span = tracing.start('publish', { parent: TRACEPARENT });
  expect(span.traceparent).toBeUndefined();
  span.end();
  expect(await tracing.span('run', {}, async ({ traceparent }) => traceparent ?? 'none')).toBe('none');
  await expect(tracing.span('run', {}, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  await tracing.close();
});

test('a collector that is away is told once, and when it is back; the service notices nothing', async () => {
  const port = await freePort();
  const log = createTestLog();
  const tracing = await open(`http://127.0.0.1:${port}`, log);
  const told = () => log.lines().map(({ level, message }) => `${level}: ${message}`);
  for (let i = 0; i < 10_000; i += 1) tracing.start(`span ${i}`, {}).end();
  await expect.poll(told, { timeout: 30_000 }).toEqual(['warn: trace collector rejects spans']);
  expect(log.lines()[0]?.fields).toMatchObject({ collector: `127.0.0.1:${port}`, code: 'ECONNREFUSED' });

  const collector = await openOtlpCollector({ port });
  const again = setInterval(() => tracing.start('again', {}).end(), 100);
  onTestFinished(() => clearInterval(again));
  await collector.first('again');
  await expect.poll(told, { timeout: 30_000 }).toHaveLength(2);
  expect(told()[1]).toBe('info: trace collector accepts spans again');
  expect(log.lines()[1]?.fields['dropped']).toBeGreaterThanOrEqual(512);
  // What waited meanwhile was bounded; the rest of the ten thousand was dropped.
  expect(collector.spans().filter(({ name }) => name !== 'again').length).toBeLessThanOrEqual(2_048);
  expect(unhandled).toEqual([]);
});

test('closing takes no longer for a collector that refuses, is silent, or is not there', async () => {
  const silent = await openOtlpCollector({ answer: 'never' });
  const refusing = await openOtlpCollector({ answer: 503 });
  for (const endpoint of [silent.url, refusing.url, `http://127.0.0.1:${await freePort()}`]) {
    const tracing = await open(endpoint);
    for (let i = 0; i < 2_000; i += 1) tracing.start('span', {}).end();
    // Two seconds, and room for a machine that is busy.
    expect(await elapsedMs(() => tracing.close())).toBeLessThan(4_000);
    // What ends after the close is nobody's.
    tracing.start('late', {}).end();
  }
  await silent.requested(1);
  await refusing.requested(1);
  expect(unhandled).toEqual([]);
});

test('answers that say no are told once, with the status and without what else they say', async () => {
  const collector = await openOtlpCollector({ answer: 401 });
  const log = createTestLog();
  const tracing = await open(collector.url, log);
  for (let i = 0; i < 2_000; i += 1) tracing.start('span', {}).end();
  await tracing.close();
  expect(collector.requests()).toBeGreaterThan(2);
  expect(log.lines()).toMatchObject([{ level: 'warn', fields: { code: 401, error: 'Unauthorized' } }]);
  expect(Object.keys(log.lines()[0]?.fields ?? {})).toEqual(['collector', 'code', 'error']);
});
