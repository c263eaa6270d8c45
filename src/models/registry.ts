import type { ServedModel } from './served-model.ts';

/**
 * Who knows the models: workers announce what they have inspected, the API builds its schema from what is announced.
 * Both implementations pass `tests/contract/registry.ts`.
 */
export interface ModelRegistry {
  /**
   * Makes models known, and keeps saying so until `close` (a heartbeat: a registry that lost everything is whole again soon).
   * Replaces what this process announced before. An announcement outlives the worker that made it, so that work
   * can still be queued while no worker is there.
   */
  announce(models: readonly ServedModel[]): Promise<void>;
  /** Whether `list()` has been read at all: before that, "no models" means nothing. */
  isReady(): boolean;
  /** Every version of every model, as last read; sorted by name, then by version, the newest first. */
  list(): readonly ServedModel[];
  /** The very announcement a task was submitted for, also after it was replaced or removed. */
  find(fingerprint: string): Promise<ServedModel | undefined>;
  /** Calls `listener` after each change of `list()`; returns the function that ends it. */
  watch(listener: () => void): () => void;
  close(): Promise<void>;
}

/** Versions are directory names that are whole numbers: the greater, the newer. */
export function compareModels(a: ServedModel, b: ServedModel): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return Number(b.version) - Number(a.version);
}

/** The version of a model that is meant: the one asked for, or the newest. `undefined` if there is none. */
export function findModel(
  models: readonly ServedModel[],
  name: string,
  version?: string | null,
): ServedModel | undefined {
  return models.find((model) => model.name === name && (version == null || model.version === version));
}

/** The default version of each model, in the order of `list()`: the first of each name there. */
export function defaultVersions(models: readonly ServedModel[]): ServedModel[] {
  return [...new Map(models.toReversed().map((model) => [model.name, model])).values()].reverse();
}
