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
