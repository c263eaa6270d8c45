import type { RunResult } from '../src/task.ts';
import type { Tracing } from '../src/telemetry/tracing.ts';
import { taskAttributes } from '../src/telemetry/tracing-attributes.ts';
import { joinInputs, rowsOf, splitOutputs } from './batching/batch-tensors.ts';
import type { InferencePool } from './inference/inference-pool.ts';
import type { LoadedModel } from './repository/model-loading.ts';
import type { HeldTask } from './tasks/held-task.ts';

export interface BatchRunOptions {
  pool: InferencePool;
  /** Told of each run that gave a result. */
  onRan: (model: LoadedModel, run: { runMs: number; batchSize: number }) => void;
  tracing: Tracing;
}

/**
 * Runs tasks of one model as one batch; resolves with their results, in order, or with `'aborted'` where `signal` ended the run.
 * Rejects with a `RunError` as `InferencePool.run` does, and with INVALID_OUTPUT where nobody can say whose rows are whose.
 */
export async function runBatch(
  model: LoadedModel,
  tasks: readonly HeldTask[],
  signal: AbortSignal,
  { pool, onRan, tracing }: BatchRunOptions,
): Promise<RunResult[] | 'aborted'> {
  const batchSize = tasks.length;
  const inputs = tasks.map((task) => task.inputs);
  const { file, served, manifest } = model;
  const { timeoutMs, executionProviders } = manifest;
  const spans = tasks.map(({ submission, traceparent: parent }) => {
    const attributes = () => ({ ...taskAttributes(submission), 'foretell.batch.size': batchSize });
    return tracing.start('run', { parent, attributes });
  });
  const modelFile = { file, digest: served.digest, executionProviders };
  const run = pool.run(modelFile, joinInputs(inputs), { timeoutMs, signal }).catch((error: unknown) => {
    for (const span of spans) span.end(error);
    if (error === signal.reason) return undefined;
    throw error;
  });
  const ran = await run;
  if (!ran) return 'aborted';
  for (const span of spans) span.end();
  const { outputs, runMs } = ran;
  onRan(model, { runMs, batchSize });
  return splitOutputs(outputs, inputs.map(rowsOf)).map((own) => ({ outputs: own, runMs, batchSize }));
}
