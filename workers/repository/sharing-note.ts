import type { Log } from '../../src/process/log.ts';
import type { LoadedModel } from './model-loading.ts';

type Noted = Pick<LoadedModel, 'served' | 'sharing' | 'unbatched'>;

/** Whether tasks of a model share a run at this moment, and if not, why; for people. */
export function sharingNote({ served, sharing, unbatched }: Noted): string {
  const why = unbatched();
  if (why !== undefined) return `tasks do not share a run: ${why}`;
  const { reason } = sharing();
  const most = `up to ${served.maxBatch} tasks share a run`;
  return reason === undefined ? most : `${most}. Warning: ${reason}`;
}

/** Says the same to the log. Runs that are shared without a proof deserve a warning. */
export function logSharing(log: Log, { served, sharing, unbatched }: Noted): void {
  const { name: model, version, maxBatch } = served;
  const { finding, reason } = sharing();
  const why = unbatched();
  if (why !== undefined) log.info({ model, version, finding, reason: why }, 'tasks do not share a run');
  else if (reason === undefined) log.info({ model, version, maxBatch }, 'tasks share a run');
  else log.warn({ model, version, maxBatch, reason }, 'tasks share a run without a proof');
}
