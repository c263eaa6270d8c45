import { expect, test } from 'vitest';
import {
  BrokerUnavailable,
  ifUnavailable,
  Overloaded,
  QueueFull,
  StoreFull,
  StoreUnavailable,
} from '../../src/errors.ts';

const after = (error: Error) => Promise.reject(error).catch(ifUnavailable('instead'));

test('an outage of the broker or the store is answered with something else', async () => {
  for (const outage of [new BrokerUnavailable('away'), new StoreUnavailable('away'), new StoreFull('full')]) {
    expect(await after(outage)).toBe('instead');
  }
});

test('a refusal that a client has to see is not, although it may be sent again, nor is a bug', async () => {
  const level = { waiting: 1, limit: 1, retryAfterMs: 1 };
  for (const error of [new QueueFull('full', level), new Overloaded('too much'), new Error('bug')]) {
    await expect(after(error)).rejects.toBe(error);
  }
});
