import { dirname, join } from 'node:path';
import type { Log } from '../../src/log.ts';
import { compareModels, defaultVersions } from '../../src/models/registry.ts';
import type { ModelReference } from '../../src/task.ts';
import { leftOutText } from '../inference/left-out.ts';
import { ModelFault } from './model-fault.ts';
import { type LoadedModel, loadContent, loadModel, type ModelContent, type ModelPool } from './model-loading.ts';
import { type ModelTree, readModelTree, stampOfFilesIn, type VersionFiles } from './model-tree.ts';
import type { PrivateCopies } from './private-copies.ts';

/** Versions that are copied and inspected at once. */
const LOADS_MAX = 8;

/**
 * How long a version that was replaced or removed is kept for the tasks that were submitted for it, from the last one on. Twice as
 * long as RabbitMQ leaves a delivery with a worker, so that none of them is in hand any more.
 */
const RETIRED_MS = 60 * 60_000;

/** One version of a model, as it was taken last. */
interface Entry {
  files: VersionFiles;
  /** The newest content that could be inspected. */
  content?: ModelContent | undefined;
  /** The newest that could be served. */
  model?: LoadedModel | undefined;
  /** Of `files`; the model, if there is one, is then of those before them. */
  fault?: ModelFault | undefined;
}

interface Retired {
  model: LoadedModel;
  /** When a task was last found to be for it. */
  usedAt: number;
}

interface Options {
  modelsDir: string;
  /** Names of the models to follow. @default all */
  chosen?: readonly string[] | undefined;
  pool: ModelPool;
  copies: PrivateCopies;
  log: Log;
}

/** A directory of models as it was found at each poll, and what was made of it. */
export class FollowedDirectory {
  readonly #options: Options;
  readonly #entries = new Map<string, Entry>();
  /** By fingerprint. */
  readonly #retired = new Map<string, Retired>();
  readonly #listeners = new Set<() => void>();
  #tree: ModelTree | undefined;
  /** Those of no version alone. */
  #otherFaults: ModelFault[] = [];

  constructor(options: Options) {
    this.#options = options;
  }

  models(): readonly LoadedModel[] {
    const models = [...this.#entries.values()].flatMap(({ model }) => model ?? []);
    return models.sort((a, b) => compareModels(a.served, b.served));
  }

  runnable(): readonly LoadedModel[] {
    return [...this.models(), ...[...this.#retired.values()].map(({ model }) => model)];
  }

  find({ name, version, fingerprint }: ModelReference): LoadedModel | undefined {
    const current = this.current({ name, version });
    if (current?.fingerprint === fingerprint) return current;
    const retired = this.#retired.get(fingerprint);
    if (retired) retired.usedAt = Date.now();
    return retired?.model;
  }

  current(of: Pick<ModelReference, 'name' | 'version'>): LoadedModel | undefined {
    return this.#entries.get(keyOf(of))?.model;
  }

  faults(): readonly ModelFault[] {
    const faults = [...this.#otherFaults, ...[...this.#entries.values()].flatMap(({ fault }) => fault ?? [])];
    // A manifest is read for each version, and is as wrong for one as for the other.
    return [...new Map(faults.map((fault) => [fault.message, fault])).values()];
  }

  watch(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Takes what has changed and is the same as at the poll before: what is still being written is left for the next one. */
  async poll(): Promise<void> {
    const tree = await readModelTree(this.#options.modelsDir, this.#options.chosen);
    const before = this.#tree ?? tree;
    const shown = this.#shown();
    this.#removeMissing(tree, before);
    const known = new Map(before.versions.map((files) => [keyOf(files), files]));
    const changed = tree.versions.filter((files) => {
      const entry = this.#entries.get(keyOf(files));
      return !(entry && isSame(entry.files, files)) && isSame(known.get(keyOf(files)), files);
    });
    await eachOf(changed, (files) => this.#take(files));
    const lasting = new Set(before.faults.map(({ message }) => message));
    this.#noteFaults([...tree.faults.filter(({ message }) => lasting.has(message)), ...this.#pinFaults()]);
    this.#tree = tree;
    await this.#letGo();
    if (this.#shown() !== shown) for (const listener of [...this.#listeners]) listener();
  }

  /** What was missing twice: an update that removes first and then writes anew shall withdraw nothing. */
  #removeMissing(tree: ModelTree, before: ModelTree): void {
    if (tree.isUnreadable || before.isUnreadable) return;
    const present = new Set([...tree.versions, ...before.versions].map(keyOf));
    for (const [key, { files, model }] of this.#entries) {
      if (present.has(key) || tree.unread.has(files.name) || before.unread.has(files.name)) continue;
      this.#entries.delete(key);
      if (!model) continue;
      this.#coolDown(model);
      this.#options.log.info({ model: files.name, version: files.version }, 'model removed');
      this.#retire(model);
    }
  }

  async #take(files: VersionFiles): Promise<void> {
    const key = keyOf(files);
    const entry = this.#entries.get(key);
    const { pool, log } = this.#options;
    let content = entry?.content;
    try {
      content = await this.#contentOf(files, content);
      if (!content) return;
      const model = await loadModel(files, content, pool);
      this.#entries.set(key, { files, content, model });
      this.#coolDown(entry?.model);
      this.#retired.delete(model.fingerprint);
      if (entry?.model && entry.model.fingerprint !== model.fingerprint) this.#retire(entry.model);
      const { name, version } = files;
      if (this.#tree) log.info({ model: name, version, digest: content.digest }, 'model taken');
      // Said once: not again for another manifest.
      const outputs = entry?.model?.served.digest === content.digest ? [] : model.leftOut;
      for (const output of outputs) log.warn({ model: name, version, note: leftOutText(output) }, 'output left out');
    } catch (error) {
      if (!(error instanceof ModelFault)) throw error;
      const isServed = entry?.model !== undefined;
      log.warn({ fault: error.message, isServed }, isServed ? 'model not replaced' : 'model left out');
      this.#entries.set(key, { files, content, model: entry?.model, fault: error });
    }
  }

  /** The content of files, which need not be read again if they are as they were; `undefined` if they changed meanwhile. */
  async #contentOf(files: VersionFiles, known: ModelContent | undefined): Promise<ModelContent | undefined> {
    const { stamp, directory } = files;
    if (known?.stamp === stamp) return known;
    const read = await loadContent(files, this.#options);
    if ((await stampOfFilesIn(directory).catch(() => undefined)) !== stamp) return undefined;
    const isAlike = known?.digest === read.digest && known.besides === read.besides;
    // Loaded sessions go by the copy: it stays.
    return isAlike ? { ...known, stamp } : read;
  }

  /** What is not served any more is not kept ready any more; it is loaded again should a task still come for it. */
  #coolDown(model: LoadedModel | undefined): void {
    if (model?.warmUp) this.#options.pool.coolDown(model.warmUp);
  }

  #retire(model: LoadedModel): void {
    this.#retired.set(model.fingerprint, { model, usedAt: Date.now() });
  }

  /** Default versions that are not there. */
  #pinFaults(): ModelFault[] {
    return defaultVersions(this.models().map(({ served }) => served)).flatMap(
      ({ name, version, defaultVersion = version }) => {
        if (defaultVersion === version) return [];
        const fault = `defaultVersion: there is no version ${defaultVersion} that can be served; version ${version} is meant instead`;
        return [new ModelFault({ name }, join(this.#options.modelsDir, name, 'model.json'), fault)];
      },
    );
  }

  #noteFaults(faults: ModelFault[]): void {
    const noted = new Set(this.#otherFaults.map(({ message }) => message));
    for (const { message } of faults) {
      if (!noted.has(message)) this.#options.log.warn({ fault: message }, 'directory of models has a fault');
    }
    this.#otherFaults = faults;
  }

  async #letGo(): Promise<void> {
    for (const [fingerprint, { usedAt }] of this.#retired) {
      if (Date.now() - usedAt > RETIRED_MS) this.#retired.delete(fingerprint);
    }
    const contents = [...this.#entries.values()].flatMap(({ content }) => content?.copy ?? []);
    await this.#options.copies.keepOnly(new Set([...contents, ...this.runnable().map(({ file }) => dirname(file))]));
  }

  /** What watchers are told of a change in. */
  #shown(): string {
    const models = this.runnable().map(({ fingerprint, file, manifest }) => ({ fingerprint, file, manifest }));
    return JSON.stringify([models, this.faults().map(({ message }) => message)]);
  }
}

function keyOf({ name, version }: { name: string; version: string }): string {
  return `${name}/${version}`;
}

function isSame(a: VersionFiles | undefined, b: VersionFiles): boolean {
  return a?.stamp === b.stamp && a.manifestStamp === b.manifestStamp;
}

/** Several at once, and not all: each has files open. */
async function eachOf<T>(items: readonly T[], handle: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const takeTurns = async () => {
    for (const item of rest) await handle(item);
  };
  await Promise.all(Array.from({ length: LOADS_MAX }, takeTurns));
}
