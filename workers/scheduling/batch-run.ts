import type { RunResult } from '../../src/task/task.ts';
import type { Tracing } from '../../src/telemetry/tracing.ts';
import { taskAttributes } from '../../src/telemetry/tracing-attributes.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { rowsOf, splitOutputs } from '../batching/batch-tensors.ts';
import type { InferencePool, PoolRun } from '../inference/inference-pool.ts';
import { RunError } from '../inference/run-error.ts';
import { joinInputs } from '../inference/tensor-rows.ts';
import type { LoadedModel } from '../repository/model-loading.ts';
import type { HeldTask } from '../tasks/held-task.ts';
import type { TaskSharing } from './task-sharing.ts';

export interface BatchRunOptions {
  pool: InferencePool;
  sharing: TaskSharing;
  /** The version whose manifest bounds the runs of a model at present. */
  limiting: (model: LoadedModel) => LoadedModel;
  /** Told of each run that gave a result. */
  onRan: (model: LoadedModel, run: { runMs: number; batchSize: number }) => void;
  tracing: Tracing;
}

/**
 * Runs tasks of one model as one batch; resolves with their results, in order, or with `'aborted'` where `signal` ended the run.
 * Rejects with a `RunError` as `InferencePool.run` does, and with INVALID_OUTPUT where tasks that shared the run have to run alone.
 */
export async function runBatch(
  model: LoadedModel,
  tasks: readonly HeldTask[],
  signal: AbortSignal,
  options: BatchRunOptions,
): Promise<RunResult[] | 'aborted'> {
  const { pool, sharing, limiting, onRan, tracing } = options;
  const batchSize = tasks.length;
  const inputs = tasks.map((task) => task.inputs);
  // It may have ended since the batch was put together.
  if (batchSize > 1 && !sharing.shares(model)) throw sharesNone();
  const checked = sharing.choose(model, batchSize);
  const again = checked === undefined ? undefined : inputs[checked];
  const { file, served, manifest } = model;
  const { executionProviders } = manifest;
  const { timeoutMs } = limiting(model).manifest;
  const spans = tasks.map(({ submission, traceparent: parent }) => {
    const attributes = () => ({ ...taskAttributes(submission), 'foretell.batch.size': batchSize });
    return tracing.start('run', { parent, attributes });
  });
  const modelFile = { file, digest: served.digest, executionProviders };
  const run = pool.run(modelFile, joinInputs(inputs), { timeoutMs, signal, again }).catch((error: unknown) => {
    for (const span of spans) span.end(error);
    if (error === signal.reason) return undefined;
    throw error;
  });
  const ran = await run;
  if (!ran) return 'aborted';
  for (const span of spans) span.end();
  const { outputs, runMs } = ran;
  onRan(model, { runMs, batchSize });
  const own = batchSize > 1 ? ownOutputs(model, ran, { inputs, checked, sharing }) : [outputs];
  return own.map((each) => ({ outputs: each, runMs, batchSize }));
}

/** What each task of a shared run got, once it is known to be what it would have got alone, as far as that is checked. */
function ownOutputs(
  model: LoadedModel,
  { outputs, runMs, again }: PoolRun,
  of: { inputs: readonly (readonly Tensor[])[]; checked: number | undefined; sharing: TaskSharing },
): Tensor[][] {
  const { inputs, checked, sharing } = of;
  const own = split(outputs, inputs, (reason) => sharing.end(model, reason));
  const beside = checked === undefined ? undefined : own[checked];
  if (beside && again) sharing.check(model, { outputs, runMs, beside, alone: again });
  else sharing.ran(model, runMs);
  // By another run, which may have mixed tasks as well.
  if (!sharing.shares(model)) throw sharesNone();
  return own;
}

/** A model whose outputs cannot be given back to the tasks mixes their rows: the next run would fail likewise. */
function split(
  outputs: readonly Tensor[],
  inputs: readonly (readonly Tensor[])[],
  onMixed: (reason: string) => void,
): Tensor[][] {
  try {
    return splitOutputs(outputs, inputs.map(rowsOf));
  } catch (error) {
    if (error instanceof RunError) onMixed(error.message);
    throw error;
  }
}

function sharesNone(): RunError {
  return new RunError('INVALID_OUTPUT', 'tasks of the model no longer share runs');
}
