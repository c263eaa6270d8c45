import type { Log } from '../log.ts';
import { compareModels } from '../models/registry.ts';
import { fingerprintOf, type ServedModel } from '../models/served-model.ts';

/** The models that are announced at present, and who wants to know when they change. */
export interface Announced {
  list(): readonly ServedModel[];
  /** Tells the watchers if this is not what was there before. */
  replace(models: readonly ServedModel[]): void;
  /** Tells the watchers of a change beside the list. */
  tell(): void;
  watch(listener: () => void): () => void;
}

export function createAnnounced(log: Log): Announced {
  let models: readonly ServedModel[] = [];
  let fingerprints = '';
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
    tell,
    replace(next) {
      const sorted = [...next].sort(compareModels);
      const after = sorted.map(fingerprintOf).join();
      if (after === fingerprints) return;
      models = sorted;
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
