import type { Lane } from '../../src/broker/topology.ts';
import type { BatchItem, BatchLimits } from '../../workers/batching/batch-line.ts';
import { Batcher } from '../../workers/batching/batcher.ts';
import { tensor } from './tensors.ts';

export type Item = BatchItem<string>;

export const LIMITS: BatchLimits = { shares: () => true, maxBatch: 4, maxDelayMs: 0, concurrency: 2 };

/** Of the items: one further for each. */
let clock = 0;
export const now = () => clock;

export interface ItemOptions {
  rows?: number;
  width?: number;
  alone?: boolean;
  lane?: Lane;
  arrivedAt?: number;
  owner?: string;
}

export function item(model: string, options: ItemOptions = {}): Item {
  const { rows = 1, width = 1, alone = false, lane = 'normal', arrivedAt = clock++, owner = 'anybody' } = options;
  const inputs = [tensor('x', 'UINT8', Array<number>(rows * width).fill(0), [rows, width])];
  return { model, owner, inputs, lane, alone, arrivedAt };
}

export function batcherOf(limits: Partial<BatchLimits>, items: Item[]) {
  const batcher = new Batcher<string, Item>(() => ({ ...LIMITS, ...limits }));
  for (const each of items) batcher.add(each);
  return batcher;
}
