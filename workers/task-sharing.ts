import type { Log } from '../src/log.ts';
import { type CheckedRun, SharingWatch } from './batching/sharing-watch.ts';
import { RunError } from './inference/run-error.ts';
import type { LoadedModel } from './repository/model-loading.ts';

/** What is known of the models, by all workers and across their restarts. */
export interface SharingRecord {
  /** Whether tasks of the model share runs, as is known at this moment. */
  shares(model: LoadedModel): boolean;
  /** From now on they do not, here at once and soon on every worker; `reason` is a sentence for people. */
  end(model: LoadedModel, reason: string): void;
}

/** Whether tasks may share a run, and whether those that did got what they would have got alone. */
export class TaskSharing {
  readonly #record: SharingRecord;
  readonly #log: Log;
  readonly #watch: SharingWatch<LoadedModel>;
  /** By the model's name: those of a version that is replaced still count. */
  readonly #counts = new Map<string, { checks: number; ended: number }>();

  constructor(record: SharingRecord, log: Log, watch = new SharingWatch<LoadedModel>()) {
    this.#record = record;
    this.#log = log;
    this.#watch = watch;
  }

  shares(model: LoadedModel): boolean {
    return this.#record.shares(model);
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
    const { name, version } = model.served;
    this.#log.warn({ model: name, version, reason }, 'tasks of the model share no runs any more');
    this.#countsOf(model).ended += 1;
    this.#record.end(model, reason);
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

/** What one process finds out, until it ends. */
export function createSharingRecord(): SharingRecord {
  const ended = new Set<string>();
  return {
    shares: ({ served }) => served.signature.batched && !ended.has(served.digest),
    end: ({ served }) => void ended.add(served.digest),
  };
}
