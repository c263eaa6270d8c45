import { expect, test } from 'vitest';
import { DELAY_QUEUES, delayQueueFor, predictionQueue, queuesOf } from '../../src/broker/topology.ts';

test('queues are named for their model and lane, readably', () => {
  expect(predictionQueue('iris', 'normal')).toBe('foretell.v1.predict.iris');
  expect(predictionQueue('iris', 'high')).toBe('foretell.v1.predict.iris.high');
  expect(predictionQueue('Größe 2.1', 'normal')).toBe('foretell.v1.predict.Größe 2.1');
  expect(queuesOf('foretell.v1.predict.iris')).toEqual([
    { queue: 'foretell.v1.predict.iris', tasks: 1 },
    { queue: 'foretell.v1.bundle4.iris', tasks: 4 },
  ]);
});

test('no two models or lanes share a queue, and every name is one that AMQP can carry', () => {
  const long = 'm'.repeat(300);
  const hashed = predictionQueue(long, 'normal').replace('foretell.v1.predict.', '');
  const models = [
    ...['x', 'X', 'x.high', 'high.x', 'x-high', '.x', '', ' x', 'é', 'e\u0301', '日本'.repeat(50)],
    ...[long, `${long}m`, hashed, 'a\u0000', 'a\u0001', 'a_', 'a\ud800', 'a\ud801', 'a\ufffd'],
  ];
  const lanes = models.flatMap((model) => [predictionQueue(model, 'normal'), predictionQueue(model, 'high')]);
  const queues = lanes.flatMap(queuesOf).map(({ queue }) => queue);
  expect(new Set(queues).size).toBe(3 * models.length);
  for (const queue of queues) {
    expect(Buffer.byteLength(queue)).toBeLessThanOrEqual(255);
    expect(Buffer.from(queue).toString()).toBe(queue);
  }
});

test('a retry waits for the next longer delay of the ladder, at most for the longest', () => {
  const delays = [0, 1, 1_000, 1_001, 5_000, 30_000, 3_600_000].map((ms) => delayQueueFor(ms).delayMs);
  expect(delays).toEqual([1_000, 1_000, 1_000, 5_000, 5_000, 30_000, 30_000]);
  expect(DELAY_QUEUES.map(({ queue }) => queue)).toEqual([
    'foretell.v1.retry.1s',
    'foretell.v1.retry.5s',
    'foretell.v1.retry.30s',
  ]);
});
