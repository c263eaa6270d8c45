import { z } from 'zod';
import type { ServedModel } from '../models/served-model.ts';
import type { Sharings } from '../models/sharing.ts';

/** What a worker found in its directory of models and cannot serve, as clients may read it: without a path of its machine's. */
export interface RegistryFault {
  name: string;
  /** Absent where it is of every version of the model. */
  version?: string | undefined;
  /** The newest version that lies there, where the fault is of every version and there is one. */
  newest?: string | undefined;
  message: string;
}

/** In place of a version, for a model of which there is none. No directory of a version has such a name. */
const NO_VERSION = 'none';

export const registryFaultSchema: z.ZodType<RegistryFault> = z.object({
  name: z.string(),
  version: z.string().optional(),
  newest: z.string().optional(),
  message: z.string(),
});

/**
 * Who knows the models: workers register what they have inspected, the API builds its schema from what is registered.
 * Both implementations pass `tests/contract/registry.ts`.
 */
export interface ModelRegistry extends Sharings {
  /**
   * Makes models known, and keeps saying so until `close` (a heartbeat: a registry that lost everything is whole again soon).
   * Replaces what this process registered before: what it had then, and no other worker has, is withdrawn, and known no more. A
   * registration outlives the worker that made it, so that work can still be queued while no worker is there.
   */
  register(models: readonly ServedModel[], faults?: readonly RegistryFault[]): Promise<void>;
  /** Whether `list()` has been read at all: before that, "no models" means nothing. */
  isReady(): boolean;
  /** Every version of every model, as last read; sorted by name, then by version, the newest first. */
  list(): readonly ServedModel[];
  /**
   * What tasks may refer to although it is registered no more: of each name that is not in `list()` the versions that were registered last. Sorted
   * as `list()` is.
   */
  withdrawn(): readonly ServedModel[];
  /** How many workers have this very registration at present; one that was killed is counted for up to a minute. */
  workers(fingerprint: string): number;
  /** What workers found and cannot serve, as last read. */
  faults(): readonly RegistryFault[];
  /** The very registration a task was submitted for, also after it was replaced or removed. */
  find(fingerprint: string): Promise<ServedModel | undefined>;
  /** Calls `listener` after each change of `list()` or `withdrawn()`, and of a finding that `sharing()` gives; returns the function that ends it. */
  watch(listener: () => void): () => void;
  close(): Promise<void>;
}

/** Versions are directory names that are whole numbers: the greater, the newer. */
export function compareModels(
  a: Pick<ServedModel, 'name' | 'version'>,
  b: Pick<ServedModel, 'name' | 'version'>,
): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  // What has no version comes last.
  return (Number(b.version) || 0) - (Number(a.version) || 0);
}

/** The version of a model that is meant: the one asked for, or the default one. `undefined` if there is none. */
export function findModel(
  models: readonly ServedModel[],
  name: string,
  version?: string | null,
): ServedModel | undefined {
  const versions = models.filter((model) => model.name === name);
  return version == null ? defaultOf(versions) : versions.find((model) => model.version === version);
}

/** The default version of each model, in the order of `list()`. */
export function defaultVersions(models: readonly ServedModel[]): ServedModel[] {
  return [...Map.groupBy(models, ({ name }) => name).values()].flatMap((versions) => defaultOf(versions) ?? []);
}

/** The one that the newest names, or the newest itself where it names none that is there. */
function defaultOf(versions: readonly ServedModel[]): ServedModel | undefined {
  const [newest] = versions;
  return versions.find(({ version }) => version === newest?.defaultVersion) ?? newest;
}

/** What is wrong with a model, or with one version of it. */
export function faultsOf(
  registry: Pick<ModelRegistry, 'faults'>,
  name: string,
  version?: string | null,
): RegistryFault[] {
  const isMeant = (of: string | undefined) => version == null || of === undefined || of === version;
  return registry.faults().filter((fault) => fault.name === name && isMeant(fault.version));
}

/** What stands for a model, or a version, that could never be served: it takes nothing and gives nothing. */
export function unservedModel({ name, newest = NO_VERSION, version = newest }: RegistryFault): ServedModel {
  const signature = { inputs: [], outputs: [], batched: false };
  return {
    name,
    version,
    digest: '',
    signature,
    names: { inputs: {}, outputs: {} },
    maxBatch: 1,
    unbatched: 'The model is not served.',
    maxWaiting: 1,
  };
}

/** One for each model of which no version could ever be served. */
export function unservedModels(registry: Pick<ModelRegistry, 'list' | 'faults'>): ServedModel[] {
  const served = new Set(registry.list().map(({ name }) => name));
  const faults = registry.faults().filter(({ name }) => !served.has(name));
  const models = faults.map(unservedModel).toSorted(compareModels);
  return [...Map.groupBy(models, ({ name }) => name).values()].flatMap(([newest]) => newest ?? []);
}
