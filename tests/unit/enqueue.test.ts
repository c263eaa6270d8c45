import { expect, test } from 'vitest';
import { createPredictions } from '../../src/api/predictions/predictions.ts';
import type { PredictionRequest, SubmitContext } from '../../src/api/predictions/submit.ts';
import { createMemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import type { Finding } from '../../src/models/sharing.ts';
import { openStore } from '../../src/open-store.ts';
import { NO_METRICS } from '../../src/telemetry/no-metrics.ts';
import { NO_TRACING } from '../../src/telemetry/tracing.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { servedModel, spec } from '../support/models.ts';
import { createTestLog } from '../support/test-log.ts';

const SHARING_KEY = 'k';
const MODEL = servedModel(
  'm',
  { inputs: [spec('x', 'FP32', [null, 1])], outputs: [spec('y', 'FP32', [null, 1])], batched: true },
  { maxBatch: 16, sharingKey: SHARING_KEY },
);
const HOUR_MS = 3_600_000;

/** What a submission says of how many of its tasks may go to one worker together. */
async function maxBatchOf(options: {
  resultTtlMs?: number;
  messageInputBytesMax?: number;
  context?: Partial<SubmitContext>;
  finding?: Finding;
}) {
  const { resultTtlMs = HOUR_MS, messageInputBytesMax = 1_000, context, finding = 'independent' } = options;
  const log = createTestLog();
  const store = await openStore({ storeUrl: 'memory:', resultTtlMs }, log);
  await store.registry.recordSharing(SHARING_KEY, { finding });
  const broker = createMemoryBroker(log);
  const said: (number | undefined)[] = [];
  const publish: typeof broker.publish = (queue, message) => {
    said.push(message.maxBatch);
    return broker.publish(queue, message);
  };
  const services = { ...store, broker: { ...broker, publish }, metrics: NO_METRICS, tracing: NO_TRACING, log };
  const predictions = createPredictions({ ...services, resultTtlMs, messageInputBytesMax });
  const input: Tensor = { name: 'x', datatype: 'FP32', shape: [1, 1], data: Buffer.alloc(4) };
  const request: PredictionRequest = { model: MODEL, door: 'tensors', inputs: [input], path: [] };
  await predictions.submit([request], { owner: 'o', waitMs: 0, ...context });
  await Promise.all([broker.close(), store.close()]);
  return said;
}

test('as many tasks may go together as share a run', async () => {
  expect(await maxBatchOf({})).toEqual([16]);
});

test.each<[string, Parameters<typeof maxBatchOf>[0]]>([
  ['tasks of a model whose rows may depend on each other', { finding: 'unknown' }],
  ['large inputs, of which a worker may not have room for several', { messageInputBytesMax: 3 }],
  ['a task of which there may be several messages', { context: { idempotencyKey: 'k' } }],
  ['tasks whose results may have expired when the last of them ends', { resultTtlMs: HOUR_MS - 1 }],
])('by themselves go %s', async (_, options) => {
  expect(await maxBatchOf(options)).toEqual([1]);
});
