import type { Metrics } from '../../src/telemetry/metrics.ts';

/** What a worker tells of its tasks, for whoever counts. */
export type WorkerObserver = Pick<
  Metrics,
  | 'begun'
  | 'ran'
  | 'ended'
  | 'retried'
  | 'returned'
  | 'deadLettered'
  | 'duplicateDropped'
  | 'sharingChecked'
  | 'sharingEnded'
>;
