import { expect, test } from 'vitest';
import { boundsFor } from '../../src/ledger/capacity.ts';
import { LEDGER_DEFAULTS } from '../../src/ledger/ledger.ts';

const MIB = 1024 * 1024;

/** What streams, requests and listeners take of a heap, as measured. */
function heapOf({ streams = 0, requests = 0, listeners = 0 }: ReturnType<typeof boundsFor>): number {
  return (streams + requests) * 15_000 + listeners * 1_260;
}

test('a heap of four gigabytes has room for all streams, requests and listeners', () => {
  const { streams, requests, listeners } = boundsFor({ files: 1_000_000, heapBytes: 4_096 * MIB });
  expect({ streams, requests, listeners }).toMatchObject({ listeners: LEDGER_DEFAULTS.listeners });
  expect(streams).toBeGreaterThan(11_000);
  expect(requests).toBeGreaterThan(11_000);
});

test.for([128, 256, 512, 1_024, 2_048])('with a heap of %i MiB they take a third of it at most', (mib) => {
  expect(heapOf(boundsFor({ files: 1_000_000, heapBytes: mib * MIB }))).toBeLessThan((mib * MIB) / 3);
});
