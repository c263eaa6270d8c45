import { fingerprintOf, type ServedModel } from '../models/served-model.ts';
import type { Log } from '../process/log.ts';
import { compareModels } from './registry.ts';

/** The models that are registered at present or were before, and who wants to know when they change. */
export interface Registered {
  list(): readonly ServedModel[];
  withdrawn(): readonly ServedModel[];
  /** Tells the watchers if this is not what was there before. */
  replace(models: readonly ServedModel[], withdrawn: readonly ServedModel[]): void;
  /** Tells the watchers of a change beside the list. */
  tell(): void;
  watch(listener: () => void): () => void;
}

export function createRegistered(log: Log): Registered {
  let models: readonly ServedModel[] = [];
  let gone: readonly ServedModel[] = [];
  let fingerprints = '/';
  const listeners = new Set<{ listener: () => void }>();
  const tell = () => {
    for (const { listener } of [...listeners]) {
      try {
        listener();
      } catch (err) {
        // A bug of the listener's, which must not keep the others from being told.
        log.error({ err }, 'registry listener threw');
      }
    }
  };
  return {
    list: () => models,
    withdrawn: () => gone,
    tell,
    replace(next, withdrawn) {
      const [sorted, others] = [next.toSorted(compareModels), withdrawn.toSorted(compareModels)];
      const after = [sorted, others].map((list) => list.map(fingerprintOf).join()).join('/');
      if (after === fingerprints) return;
      models = sorted;
      gone = others;
      fingerprints = after;
      tell();
    },
    watch(listener) {
      const entry = { listener };
      listeners.add(entry);
      return () => void listeners.delete(entry);
    },
  };
}
