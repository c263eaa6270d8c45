import type { Log } from '../src/log.ts';
import type { Sharings } from '../src/models/sharing.ts';
import { type CheckedRun, SharingWatch } from './batching/sharing-watch.ts';
import { RunError } from './inference/run-error.ts';
import type { LoadedModel } from './repository/model-loading.ts';

/** Whether tasks may share a run, and whether those that did got what they would have got alone. */
export class TaskSharing {
  /** Keeps a finding for all workers and their restarts. */
  readonly #record: Sharings['recordSharing'];
  readonly #log: Log;
  readonly #watch = new SharingWatch<LoadedModel>();
  /** Of this process's findings, whether or not they could be kept. */
  readonly #ended = new WeakSet<LoadedModel>();
  /** By the model's name: those of a version that is replaced still count. */
  readonly #counts = new Map<string, { checks: number; ended: number }>();

  constructor(record: Sharings['recordSharing'], log: Log) {
    this.#record = record;
    this.#log = log;
  }

  shares(model: LoadedModel): boolean {
    return model.shares() && !this.#ended.has(model);
  }

  /** Which task of a shared run is to be run again alone, if one is. What the operator says of a model is not checked. */
  choose(model: LoadedModel, tasks: number): number | undefined {
    return isWatched(model) && tasks > 1 ? this.#watch.choose(model, tasks) : undefined;
  }

  /** Notes a shared run that was not checked. */
  ran(model: LoadedModel, runMs: number): void {
    if (isWatched(model)) this.#watch.ran(model, runMs);
  }

  /** Throws a `RunError` where the tasks of a run are to run alone instead; where that shows it, sharing ends. */
  check(model: LoadedModel, run: CheckedRun): void {
    this.#countsOf(model).checks += 1;
    const verdict = this.#watch.judge(model, run);
    if (verdict.to === 'keep') return;
    if (verdict.to === 'end sharing') this.end(model, verdict.reason);
    throw new RunError('INVALID_OUTPUT', verdict.reason);
  }

  end(model: LoadedModel, reason: string): void {
    if (!isWatched(model) || !this.shares(model)) return;
    const { name, version, sharingKey } = model.served;
    this.#log.warn({ model: name, version, reason }, 'tasks of the model share no runs any more');
    this.#countsOf(model).ended += 1;
    this.#ended.add(model);
    if (sharingKey === undefined) return;
    const sentence = `A task of a shared run did not get what it gets alone: ${reason}.`;
    this.#record(sharingKey, { finding: 'dependent', inUse: true, reason: sentence }).catch((err: unknown) => {
      this.#log.error({ model: name, version, err }, 'end of sharing not kept');
    });
  }

  /** What was checked of each of these models, also where nothing was. */
  counts(models: readonly LoadedModel[]): { model: string; checks: number; ended: number }[] {
    const byName = new Map(models.map((model) => [model.served.name, this.#countsOf(model)]));
    return [...byName].map(([model, counts]) => ({ model, ...counts }));
  }

  #countsOf({ served: { name } }: LoadedModel): { checks: number; ended: number } {
    const counts = this.#counts.get(name) ?? { checks: 0, ended: 0 };
    this.#counts.set(name, counts);
    return counts;
  }
}

function isWatched({ manifest }: LoadedModel): boolean {
  return manifest.batched !== true;
}
