import assert from 'node:assert/strict';
import { outputFault } from '../../src/models/outputs.ts';
import type { Log } from '../../src/process/log.ts';
import type { RunResult } from '../../src/task/task.ts';
import { Batcher, type TakenBatch } from '../batching/batcher.ts';
import type { RunCost } from '../batching/owner-costs.ts';
import { RunError } from '../inference/run-error.ts';
import type { LoadedModel } from '../repository/model-loading.ts';
import type { HeldTask } from '../tasks/held-task.ts';
import type { Settlement } from '../tasks/settlement.ts';
import { createBatchLimits } from './batch-limits.ts';
import { type BatchRunOptions, runBatch } from './batch-run.ts';

/** When a task comes again that was given back untried. */
const GIVE_BACK_MS = 1_000;

/** How often a task lets others go before it, half a minute in all: as long as a process that was lost is remembered. */
const YIELDS_MAX = 6;
const YIELD_MS = 5_000;

export interface SchedulerOptions extends BatchRunOptions {
  slots: number;
  settlement: Settlement;
  /** Takes a task on right before its run; `false` if it is not to be run, and is released. Does not reject. */
  claim: (task: HeldTask) => Promise<boolean>;
  /** Whether nothing is to be begun at present. */
  isPaused: () => boolean;
  /** Whether as much of a model is in hand as is taken at once: what else waits for it is in its queue. */
  isFull: (model: string) => boolean;
  log: Log;
}

export interface SchedulerStats {
  /** Tasks that wait for their run. */
  waiting: number;
  /** Runs so far, and the tasks that were in them: their quotient is the mean batch. */
  runs: number;
  tasks: number;
}

interface Run {
  tasks: readonly HeldTask[];
  /** Ends it, by the end of its process. */
  abort: AbortController;
}

/** Brings waiting tasks and idle inference processes together, batch by batch. */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #batcher: Batcher<LoadedModel, HeldTask>;
  readonly #runOf = new Map<HeldTask, Run>();
  /** Batches that were taken and have not reached the pool yet: an idle process is promised to each. */
  #claiming = 0;
  #runs = 0;
  #tasks = 0;
  #isDraining = false;
  #soon: NodeJS.Immediate | undefined;
  #later: NodeJS.Timeout | undefined;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#batcher = new Batcher(createBatchLimits(options), options.slots);
  }

  /** Models are not what they were: what waits, of replaced versions too, obeys the limits of now. */
  relimit(): void {
    this.#batcher.relimit();
    this.dispatch();
  }

  add(task: HeldTask): void {
    if (!this.#isWanted(task)) return;
    this.#batcher.add(task);
    this.#yield(task.model, true);
    // Deliveries arrive several to a packet; those that came together share a run.
    this.#soon ??= setImmediate(() => {
      this.#soon = undefined;
      this.dispatch();
    });
  }

  /** Gives back a task that waits, and is the broker's again. */
  lose(task: HeldTask): void {
    if (this.#batcher.remove(task)) task.release('requeue');
  }

  /** Nobody waits for the task's run any more. One whose neighbours in a run are waited for is run to the end; its result will be refused. */
  drop(task: HeldTask): void {
    if (this.#batcher.remove(task)) void this.#options.settlement.handBack(task);
    const run = this.#runOf.get(task);
    if (run?.tasks.every(({ hasEnded }) => hasEnded)) run.abort.abort(new Error('every task of the run has ended'));
  }

  isRunning(task: HeldTask): boolean {
    return this.#runOf.has(task);
  }

  /** Begins what can begin now. */
  dispatch(): void {
    const { pool, isPaused } = this.#options;
    clearTimeout(this.#later);
    while (!isPaused() && pool.idle() > this.#claiming) {
      const batch = this.#batcher.take(performance.now());
      if (!batch) {
        this.#dispatchWhenDue();
        return;
      }
      this.#claiming += 1;
      this.#begin(batch).catch((error: unknown) => {
        for (const task of batch.items) task.abandon(error);
      });
    }
  }

  stats(): SchedulerStats {
    return { waiting: this.#batcher.waiting(), runs: this.#runs, tasks: this.#tasks };
  }

  /**
   * Gives those of the tasks back that have not begun and wait: others may run them sooner.
   * @param isAgain also those that were given back before @default false
   */
  giveBack(tasks: readonly HeldTask[], isAgain = false): void {
    for (const task of tasks) {
      const { attempt, wasRedelivered, delivery } = task;
      // What was requeued counts as a message whose worker may have died, which would let a second copy of a task take it over
      // from the worker that runs it; what is returned has lost its place in the queue, so once is enough.
      const verdict = wasRedelivered ? 'requeue' : { returnAfterMs: GIVE_BACK_MS };
      if (attempt > 0 || (!isAgain && !wasRedelivered && delivery.returnsBefore > 0)) continue;
      if (this.#batcher.remove(task)) task.release(verdict);
    }
  }

  /** The same where less is to be held than before: of owners who keep slots from others, if there are any, so that others' tasks stay. */
  giveWay(tasks: readonly HeldTask[]): void {
    const at = performance.now();
    this.giveBack(tasks.filter((task) => !this.#batcher.hasHogs(task.model) || this.#batcher.isHog(task, at)));
  }

  /** Begins nothing from now on: these tasks, as far as they wait, are handed back, and so are those that come later. */
  drain(tasks: readonly HeldTask[]): void {
    this.#isDraining = true;
    clearTimeout(this.#later);
    clearImmediate(this.#soon);
    for (const task of tasks) if (this.#batcher.remove(task)) void this.#options.settlement.handBack(task);
  }

  /** Ends the runs that still go on, and hands their tasks back. */
  abortRuns(): void {
    for (const { abort } of new Set(this.#runOf.values())) abort.abort(new Error('the worker closes'));
  }

  /** `false` for a task that is to wait for no run, and is let go of. */
  #isWanted(task: HeldTask): boolean {
    // One that was claimed is finished here although its delivery is lost: to give it back would cost it an attempt.
    const isWanted = !task.hasEnded && !this.#isDraining && (task.attempt > 0 || !task.delivery.signal.aborted);
    if (!isWanted) void this.#options.settlement.handBack(task);
    return isWanted;
  }

  #dispatchWhenDue(): void {
    const dueAt = this.#batcher.dueAt();
    if (dueAt === undefined) return;
    // A millisecond more: timers may fire a fraction early, and would then find nothing due.
    this.#later = setTimeout(() => this.dispatch(), dueAt - performance.now() + 1);
  }

  /** Lets others' tasks come before those of owners who keep the slots from them: these wait behind them in the queue. */
  #yield(model: LoadedModel, keepsRunning: boolean): void {
    if (!this.#batcher.hasHogs(model) || !this.#options.isFull(model.served.name)) return;
    const mayGo = ({ attempt, wasRedelivered, delivery: { returnsBefore } }: HeldTask) =>
      attempt === 0 && !wasRedelivered && returnsBefore < YIELDS_MAX;
    for (const task of this.#batcher.surplus(model, performance.now(), { keepsRunning, mayGo })) {
      task.release({ returnAfterMs: task.delivery.returnsBefore > 0 ? YIELD_MS : GIVE_BACK_MS });
    }
  }

  async #begin(batch: TakenBatch<LoadedModel, HeldTask>): Promise<void> {
    const { model, items, notBegun } = batch;
    const { settlement, claim, log } = this.#options;
    const claims = await Promise.all(items.map(claim));
    // From here to the pool without a pause, so that no other batch is promised the same process.
    this.#claiming -= 1;
    const tasks = items.filter((task, i) => claims[i] && this.#isWanted(task));
    notBegun(items.length - tasks.length);
    const abort = new AbortController();
    for (const task of tasks) this.#runOf.set(task, { tasks, abort });
    const cost: Partial<RunCost> = {};
    const beganAt = performance.now();
    const ended = await this.#run(model, tasks, abort.signal)
      .then((results) => {
        // Without the loading of the model, which is nobody's.
        if (results !== 'aborted') cost.ms = results[0]?.runMs ?? 0;
        return results;
      })
      .catch((error: unknown) => {
        cost.isLethal = error instanceof RunError && error.isLethal;
        return onlyRunError(error);
      })
      .finally(() => {
        for (const task of tasks) this.#runOf.delete(task);
        const at = performance.now();
        const owners = tasks.map(({ owner }) => owner);
        this.#batcher.ended(batch, { ms: at - beganAt, isLethal: false, ...cost, owners, at });
        // Before the next begins: it may be another's, which is here as soon as there is room.
        this.#yield(model, false);
      });
    if (ended instanceof RunError && tasks.length > 1) {
      const taskIds = tasks.map(({ submission }) => submission.id);
      log.warn({ model: model.served.name, taskIds, err: ended }, 'batch failed, its tasks run alone');
      for (const task of tasks) {
        task.waitAlone();
        this.add(task);
      }
    }
    // The process is free: the next batch need not wait until the results of this one are stored.
    this.dispatch();
    if (ended === 'aborted') await Promise.all(tasks.map(settlement.handBack));
    else if (!(ended instanceof RunError)) await Promise.all(tasks.map((task, i) => this.#finish(task, ended[i])));
    else if (tasks.length === 1) await Promise.all(tasks.map((task) => settlement.fail(task, ended)));
  }

  /** Runs a batch, unless nothing is left of it. */
  async #run(model: LoadedModel, tasks: readonly HeldTask[], signal: AbortSignal): ReturnType<typeof runBatch> {
    if (tasks.length === 0) return [];
    this.#runs += 1;
    this.#tasks += tasks.length;
    return runBatch(model, tasks, signal, this.#options);
  }

  /** A fault of ours in judging one result is that task's alone: the others of its run are stored. */
  async #finish(task: HeldTask, result: RunResult | undefined): Promise<void> {
    assert(result);
    const { settlement } = this.#options;
    const fault = outputFault(task.model.served, task.submission.door, result.outputs);
    return fault ? settlement.fail(task, new RunError('INVALID_OUTPUT', fault)) : settlement.succeed(task, result);
  }
}

/** Any other error is a bug of ours, and no task is charged for it. */
function onlyRunError(error: unknown): RunError {
  if (error instanceof RunError) return error;
  throw error;
}
