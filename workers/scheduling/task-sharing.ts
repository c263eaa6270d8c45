import type { Sharings } from '../../src/models/sharing.ts';
import type { Log } from '../../src/process/log.ts';
import { type CheckedRun, SharingWatch } from '../batching/sharing-watch.ts';
import { RunError } from '../inference/run-error.ts';
import type { LoadedModel } from '../repository/model-loading.ts';
import type { WorkerObserver } from '../tasks/worker-observer.ts';

export interface TaskSharingOptions {
  /** Keeps a finding for all workers and their restarts. */
  record: Sharings['recordSharing'];
  observer: Pick<WorkerObserver, 'sharingChecked' | 'sharingEnded'>;
  log: Log;
}

/** Whether tasks may share a run, and whether those that did got what they would have got alone. */
export class TaskSharing {
  readonly #options: TaskSharingOptions;
  readonly #watch = new SharingWatch<LoadedModel>();
  /** Of this process's findings, whether or not they could be kept. */
  readonly #ended = new WeakSet<LoadedModel>();

  constructor(options: TaskSharingOptions) {
    this.#options = options;
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
    this.#options.observer.sharingChecked({ model: model.served.name });
    const verdict = this.#watch.judge(model, run);
    if (verdict.to === 'keep') return;
    if (verdict.to === 'end sharing') this.end(model, verdict.reason);
    throw new RunError('INVALID_OUTPUT', verdict.reason);
  }

  end(model: LoadedModel, reason: string): void {
    if (!isWatched(model) || !this.shares(model)) return;
    const { record, observer, log } = this.#options;
    const { name, version, sharingKey } = model.served;
    log.warn({ model: name, version, reason }, 'tasks of the model no longer share runs');
    observer.sharingEnded({ model: name });
    this.#ended.add(model);
    if (sharingKey === undefined) return;
    const sentence = `A task of a shared run got another result than it gets alone: ${reason}.`;
    record(sharingKey, { finding: 'dependent', inUse: true, reason: sentence }).catch((err: unknown) => {
      log.error({ model: name, version, err }, 'end of sharing not kept');
    });
  }
}

function isWatched({ manifest }: LoadedModel): boolean {
  return manifest.batched !== true;
}
