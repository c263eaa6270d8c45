import type { ModelFault } from './model-fault.ts';
import type { LoadedModel } from './model-loading.ts';

/** A text that is another one after each change that watchers are told of: a model that is retired can still be run, and is no longer served. */
export function shownOf(
  served: readonly LoadedModel[],
  retired: readonly LoadedModel[],
  faults: readonly ModelFault[],
): string {
  const shown = ({ fingerprint, file, manifest }: LoadedModel) => ({ fingerprint, file, manifest });
  return JSON.stringify([served.map(shown), retired.map(shown), faults.map(({ message }) => message)]);
}
