import type { Sharings } from '../../src/models/sharing.ts';
import type { Log } from '../../src/process/log.ts';
import { createMemorySharing } from '../../src/registry/memory-sharing.ts';
import type { ModelReference } from '../../src/task/task.ts';
import { checkChosen } from './chosen-models.ts';
import { FollowedDirectory } from './followed-directory.ts';
import type { ModelFault } from './model-fault.ts';
import type { LoadedModel, ModelPool } from './model-loading.ts';
import { directoriesIn } from './model-tree.ts';
import { openPrivateCopies } from './private-copies.ts';

/** How often the directory is looked at. Looked at, not watched: network disks and Kubernetes volumes tell nobody of changes. */
const POLL_MS = 1_000;

/** The models that a worker can run. */
export interface ModelSource {
  /** What is served, and what was and is still run for the tasks submitted for it. */
  runnable(): readonly LoadedModel[];
  /** The very registration that a task was submitted for. */
  find(reference: ModelReference): LoadedModel | undefined;
  /** What is served under a name and version now. */
  current(reference: Pick<ModelReference, 'name' | 'version'>): LoadedModel | undefined;
  /** Calls `listener` after each change; returns the function that ends it. */
  watch(listener: () => void): () => void;
}

/** What a directory of models holds: it follows what becomes of the files. */
export interface ModelRepository extends ModelSource {
  /** What is served, sorted by name, then by version, the newest first. */
  models(): readonly LoadedModel[];
  /** What could not be served as it lies there now. A version that was served before such a change is served still. */
  faults(): readonly ModelFault[];
  /** The newest version of a model that lies there, served or not. */
  newestVersion(name: string): string | undefined;
  close(): Promise<void>;
}

/**
 * Reads `<modelsDir>/<name>/model.json` and `<modelsDir>/<name>/<version>/model.onnx`, has each ONNX file inspected by an inference
 * process, and follows every change of theirs until `close`. A fault leaves out that model or version, never its neighbours.
 */
export async function openModelRepository(options: {
  modelsDir: string;
  /** Names of the models to read. @default all */
  chosen?: readonly string[] | undefined;
  pool: ModelPool;
  /** Where it is known whether the rows of a model are independent. @default found anew for this directory */
  sharings?: Sharings | undefined;
  log: Log;
  /** @default POLL_MS */
  pollMs?: number;
  /** The first pause before something is tried again that failed for no fault of its own. @default two seconds */
  retryMs?: number;
}): Promise<ModelRepository> {
  const { modelsDir, chosen, pollMs = POLL_MS, log } = options;
  if (chosen) checkChosen(await directoriesIn(modelsDir).catch(() => []), chosen, log);
  const copies = await openPrivateCopies();
  const followed = new FollowedDirectory({ ...options, copies, sharings: options.sharings ?? createMemorySharing() });
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let polling = followed.poll().catch(async (error: unknown) => {
    await copies.close();
    throw error;
  });
  await polling;
  const pollLater = () => {
    timer = setTimeout(() => {
      polling = followed
        .poll()
        .catch((err: unknown) => log.error({ err }, 'directory of models not read'))
        .then(() => {
          if (!closed) pollLater();
        });
    }, pollMs).unref();
  };
  pollLater();
  return {
    models: () => followed.models(),
    runnable: () => followed.runnable(),
    find: (reference) => followed.find(reference),
    current: (reference) => followed.current(reference),
    faults: () => followed.faults(),
    newestVersion: (name) => followed.newestVersion(name),
    watch: (listener) => followed.watch(listener),
    async close() {
      closed = true;
      clearTimeout(timer);
      await Promise.all([followed.close(), polling]);
      await copies.close();
    },
  };
}
