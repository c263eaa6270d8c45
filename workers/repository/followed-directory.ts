import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createListeners } from '../../src/async/listeners.ts';
import { createFairQueue } from '../../src/ledger/fair-queue.ts';
import type { Sharings } from '../../src/models/sharing.ts';
import type { Log } from '../../src/process/log.ts';
import { compareModels } from '../../src/registry/registry.ts';
import type { ModelReference } from '../../src/task/task.ts';
import { defaultVersionFaults } from './default-version-faults.ts';
import type { ModelFault } from './model-fault.ts';
import { type LoadedModel, loadContent, loadModel, type ModelContent, type ModelPool } from './model-loading.ts';
import {
  isSame,
  type ModelTree,
  readModelTree,
  stampOfFilesIn,
  type VersionFiles,
  versionKeyOf,
} from './model-tree.ts';
import type { PrivateCopies } from './private-copies.ts';
import { RetiredModels } from './retired-models.ts';
import { shownOf } from './shown-models.ts';
import { logFault, logTaken, type TakenVersion, withFault } from './taken-version.ts';

/** Versions that are copied and inspected at once. */
const LOADS_MAX = 8;

/** How long a poll waits for what it takes, so that watchers hear of it at once: a model of gigabytes keeps no other waiting. */
const TAKING_MS = 2_000;

const RETRY_MS = 2_000;

interface Options {
  modelsDir: string;
  /** Names of the models to follow. @default all */
  chosen?: readonly string[] | undefined;
  pool: ModelPool;
  copies: PrivateCopies;
  sharings: Sharings;
  /** The first pause before something is tried again that may pass. @default RETRY_MS */
  retryMs?: number;
  log: Log;
}

/** A directory of models as it was found at each poll, and what was made of it. */
export class FollowedDirectory {
  readonly #options: Options;
  readonly #entries = new Map<string, TakenVersion>();
  readonly #retired = new RetiredModels();
  readonly #changed = createListeners();
  readonly #loads = createFairQueue(LOADS_MAX);
  /** What is being taken. */
  readonly #taking = new Map<string, Promise<void>>();
  /** Those whose copies somebody else has removed. */
  readonly #lost = new Set<string>();
  readonly #closing = new AbortController();
  /** What watchers were told of last. */
  #told = '';
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
    return [...this.models(), ...this.#retired.all()];
  }

  find({ name, version, fingerprint }: ModelReference): LoadedModel | undefined {
    const current = this.current({ name, version });
    return current?.fingerprint === fingerprint ? current : this.#retired.use(fingerprint);
  }

  current(of: Pick<ModelReference, 'name' | 'version'>): LoadedModel | undefined {
    return this.#entries.get(versionKeyOf(of))?.model;
  }

  faults(): readonly ModelFault[] {
    const faults = [...this.#otherFaults, ...[...this.#entries.values()].flatMap(({ fault }) => fault ?? [])];
    // A manifest is read for each version, and is as wrong for one as for the other.
    return [...new Map(faults.map((fault) => [fault.message, fault])).values()];
  }

  newestVersion(name: string): string | undefined {
    const versions = (this.#tree?.versions ?? []).filter((files) => files.name === name);
    return versions.toSorted(compareModels)[0]?.version;
  }

  watch(listener: () => void): () => void {
    return this.#changed.add(listener);
  }

  /** Takes what has changed and is the same as at the poll before: what is still being written is left for the next one. */
  async poll(): Promise<void> {
    const tree = await readModelTree(this.#options.modelsDir, this.#options.chosen);
    const before = this.#tree ?? tree;
    this.#removeMissing(tree, before);
    const known = new Map(before.versions.map((files) => [versionKeyOf(files), files]));
    await this.#noteLost();
    const due = tree.versions.filter((files) => isSame(known.get(versionKeyOf(files)), files) && this.#isDue(files));
    const taken = Promise.all(due.map((files) => this.#begin(files)));
    // Whoever opens the directory wants all that is there.
    await (this.#tree ? Promise.race([taken, sleep(TAKING_MS, undefined, { ref: false })]) : taken);
    const lasting = new Set(before.faults.map(({ message }) => message));
    this.#noteFaults([
      ...tree.faults.filter(({ message }) => lasting.has(message)),
      ...defaultVersionFaults(this.models(), this.#options.modelsDir),
    ]);
    this.#tree = tree;
    await this.#letGo();
    const shown = shownOf(this.models(), this.#retired.all(), this.faults());
    if (shown === this.#told) return;
    this.#told = shown;
    this.#changed.call();
  }

  /** Takes nothing more, and resolves when nothing is being taken: soon, once the pool is closed. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#taking.values());
  }

  /** Another process that is to load such a model would find nothing. What the files are not any more cannot be had again. */
  async #noteLost(): Promise<void> {
    this.#lost.clear();
    for (const [key, { files, content }] of this.#entries) {
      if (content?.stamp === files.stamp && !(await this.#options.copies.has(content.copy))) this.#lost.add(key);
    }
  }

  #isDue(files: VersionFiles): boolean {
    const key = versionKeyOf(files);
    const entry = this.#entries.get(key);
    if (this.#taking.has(key)) return false;
    return (
      this.#lost.has(key) ||
      !(entry && isSame(entry.files, files)) ||
      (entry.retry !== undefined && Date.now() >= entry.retry.at)
    );
  }

  /** Several at once, and not all: each has files open. */
  #begin(files: VersionFiles): Promise<void> {
    const key = versionKeyOf(files);
    const taking = this.#loads.run(files.name, () => this.#take(files)).finally(() => this.#taking.delete(key));
    this.#taking.set(key, taking);
    return taking;
  }

  /** What was missing twice: an update that removes first and then writes anew shall withdraw nothing. */
  #removeMissing(tree: ModelTree, before: ModelTree): void {
    if (tree.isUnreadable || before.isUnreadable) return;
    const present = new Set([...tree.versions, ...before.versions].map(versionKeyOf));
    for (const [key, { files, model }] of this.#entries) {
      if (present.has(key) || tree.unread.has(files.name) || before.unread.has(files.name)) continue;
      this.#entries.delete(key);
      if (!model) continue;
      this.#coolDown(model);
      this.#options.log.info({ model: files.name, version: files.version }, 'model removed');
      this.#retired.add(model);
    }
  }

  async #take(files: VersionFiles): Promise<void> {
    const before = this.#entries.get(versionKeyOf(files));
    const { signal } = this.#closing;
    const startedAt = Date.now();
    let content = before?.content;
    try {
      if (signal.aborted) return;
      content = await this.#contentOf(files, content);
      if (!content) return;
      const model = await loadModel(files, content, { ...this.#options, closing: signal });
      this.#serve({ files, content, model }, before);
    } catch (error) {
      if (signal.aborted) return;
      const { retryMs = RETRY_MS, log } = this.#options;
      const faulty = withFault({ files, content }, before, { error, tookMs: Date.now() - startedAt, retryMs });
      this.#entries.set(versionKeyOf(files), faulty);
      if (before?.fault?.message !== faulty.fault.message) logFault(log, faulty);
    }
  }

  #serve(taken: TakenVersion & { model: LoadedModel }, before: TakenVersion | undefined): void {
    const { files, model } = taken;
    this.#entries.set(versionKeyOf(files), taken);
    this.#coolDown(before?.model);
    this.#retired.remove(model.fingerprint);
    if (before?.model && before.model.fingerprint !== model.fingerprint) this.#retired.add(before.model);
    const { log } = this.#options;
    // At the start all of them are listed.
    if (this.#tree) {
      log.info({ model: files.name, version: files.version, digest: model.served.digest }, 'model taken');
    }
    logTaken(log, model, before?.model);
  }

  /** The content of files, which need not be read again if they are as they were; `undefined` if they changed meanwhile. */
  async #contentOf(files: VersionFiles, known: ModelContent | undefined): Promise<ModelContent | undefined> {
    const { stamp, directory } = files;
    const isLost = this.#lost.has(versionKeyOf(files));
    if (known?.stamp === stamp && !isLost) return known;
    const read = await loadContent(files, { ...this.#options, closing: this.#closing.signal });
    if ((await stampOfFilesIn(directory).catch(() => undefined)) !== stamp) return undefined;
    const isAlike = known?.digest === read.digest && known.besides === read.besides;
    if (isAlike && isLost) await this.#options.copies.replace(known.copy, read.copy);
    // Loaded sessions go by the copy: it stays.
    return isAlike ? { ...known, stamp } : read;
  }

  /** What is not served any more is not kept ready any more; it is loaded again should a task still come for it. */
  #coolDown(model: LoadedModel | undefined): void {
    if (model?.warmUp) this.#options.pool.coolDown(model.warmUp);
  }

  #noteFaults(faults: ModelFault[]): void {
    const noted = new Set(this.#otherFaults.map(({ message }) => message));
    for (const { message } of faults) {
      if (!noted.has(message)) this.#options.log.warn({ fault: message }, 'directory of models has a fault');
    }
    this.#otherFaults = faults;
  }

  async #letGo(): Promise<void> {
    this.#retired.letGo();
    // What is being taken has a copy already that nobody else knows of.
    if (this.#taking.size > 0) return;
    const contents = [...this.#entries.values()].flatMap(({ content }) => content?.copy ?? []);
    await this.#options.copies.keepOnly(new Set([...contents, ...this.runnable().map(({ file }) => dirname(file))]));
  }
}
