import assert from 'node:assert/strict';
import type { Log } from '../src/log.ts';
import { outputFault } from '../src/models/outputs.ts';
import type { RunResult } from '../src/task.ts';
import { joinInputs, rowsOf, splitOutputs } from './batch-tensors.ts';
import { type Batcher, type BatchLimits, createBatcher } from './batcher.ts';
import { abandon, type HeldTask } from './held-task.ts';
import type { InferencePool } from './inference-pool.ts';
import type { LoadedModel } from './model-repository.ts';
import { concurrencyOf } from './prefetch.ts';
import { RunError } from './run-error.ts';
import type { Settlement } from './settlement.ts';

export interface SchedulerOptions {
  pool: InferencePool;
  slots: number;
  settlement: Settlement;
  /** Whether nothing is to be begun at present. */
  isPaused: () => boolean;
  log: Log;
}

export interface SchedulerStats {
  /** Tasks that wait for their run. */
  waiting: number;
  /** Runs so far, and the tasks that were in them: their quotient is the mean batch. */
  runs: number;
  tasks: number;
}

/** Brings waiting tasks and idle inference processes together, batch by batch. */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #batcher: Batcher<LoadedModel, HeldTask>;
  /** Batches that were taken and have not reached the pool yet: an idle process is promised to each. */
  #claiming = 0;
  #runs = 0;
  #tasks = 0;
  #soon: NodeJS.Immediate | undefined;
  #later: NodeJS.Timeout | undefined;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#batcher = createBatcher((model) => limitsOf(model, options.slots));
  }

  add(task: HeldTask): void {
    this.#wait(task);
    // Deliveries arrive several to a packet; those that came together share a run.
    this.#soon ??= setImmediate(() => {
      this.#soon = undefined;
      this.dispatch();
    });
  }

  /** Takes a task back that has not begun; `false` if it has. */
  remove(task: HeldTask): boolean {
    return this.#batcher.remove(task);
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
      this.#begin(batch.model, batch.items).catch((error: unknown) => {
        for (const task of batch.items) abandon(task, error);
      });
    }
  }

  stats(): SchedulerStats {
    return { waiting: this.#batcher.waiting(), runs: this.#runs, tasks: this.#tasks };
  }

  close(): void {
    clearTimeout(this.#later);
    clearImmediate(this.#soon);
  }

  #wait(task: HeldTask): void {
    const { signal } = task.delivery;
    // One that was claimed is finished here: to give it back would cost it an attempt.
    if (signal.aborted && task.attempt === 0) abandon(task, signal.reason);
    else this.#batcher.add(task);
  }

  #dispatchWhenDue(): void {
    const dueAt = this.#batcher.dueAt();
    if (dueAt === undefined) return;
    // A millisecond more: timers may fire a fraction early, and would then find nothing due.
    this.#later = setTimeout(() => this.dispatch(), dueAt - performance.now() + 1);
  }

  async #begin(model: LoadedModel, batch: HeldTask[]): Promise<void> {
    const { settlement, log } = this.#options;
    const claims = await Promise.all(batch.map(settlement.claim));
    const tasks = batch.filter((_, i) => claims[i]);
    // From here to the pool without a pause, so that no other batch is promised the same process.
    this.#claiming -= 1;
    const ended = await this.#run(model, tasks)
      .catch(onlyRunError)
      .finally(() => this.#batcher.ended(model));
    if (ended instanceof RunError && tasks.length > 1) {
      log.warn({ model: model.served.name, batchSize: tasks.length, err: ended }, 'batch failed, its tasks run alone');
      for (const task of tasks) this.#wait(Object.assign(task, { alone: true }));
    }
    // The process is free: the next batch need not wait until the results of this one are stored.
    this.dispatch();
    if (!(ended instanceof RunError)) await Promise.all(tasks.map((task, i) => this.#finish(task, ended[i])));
    else if (tasks.length === 1) await Promise.all(tasks.map((task) => settlement.fail(task, ended)));
  }

  async #run({ served, file, manifest }: LoadedModel, tasks: readonly HeldTask[]): Promise<RunResult[]> {
    if (tasks.length === 0) return [];
    this.#runs += 1;
    this.#tasks += tasks.length;
    const inputs = tasks.map((task) => task.inputs);
    const { timeoutMs } = manifest;
    const model = { file, digest: served.digest };
    const { outputs, runMs } = await this.#options.pool.run(model, joinInputs(inputs), { timeoutMs });
    return splitOutputs(outputs, inputs.map(rowsOf)).map((own) => ({ outputs: own, runMs, batchSize: tasks.length }));
  }

  async #finish(task: HeldTask, result: RunResult | undefined): Promise<void> {
    assert(result);
    const { settlement } = this.#options;
    const fault = outputFault(task.model.served, task.submission.door, result.outputs);
    if (fault) await settlement.fail(task, new RunError('INVALID_OUTPUT', fault));
    else await settlement.succeed(task, result);
  }
}

function limitsOf(model: LoadedModel, slots: number): BatchLimits {
  const { served, manifest } = model;
  return {
    batched: served.signature.batched,
    maxBatch: served.maxBatch,
    maxDelayMs: manifest.maxDelayMs,
    concurrency: concurrencyOf(model, slots),
  };
}

/** Any other error is a bug of ours, and no task is charged for it. */
function onlyRunError(error: unknown): RunError {
  if (error instanceof RunError) return error;
  throw error;
}
