import { Counter, Histogram, Registry } from 'prom-client';
import type { ErrorCode } from '../errors.ts';
import type { TaskState } from '../task/task.ts';
import { createKnownModels, REFUSALS } from './known-models.ts';
import { createModelLabel } from './model-label.ts';
import { type Observed, observe } from './observed.ts';
import { processRegistry } from './process-registry.ts';

/** The connections that come back by themselves, each of which may do so unnoticed by anybody but a counter. */
export const CONNECTIONS = [
  'broker publishing',
  'broker consuming',
  'redis commands',
  'redis large',
  'redis subscriber',
] as const;

export type ConnectionName = (typeof CONNECTIONS)[number];

/**
 * What a process counts, told by those who do it. A `model` is a name from an announcement, never one that a client wrote:
 * each is a series for as long as the process runs.
 */
export interface Metrics {
  /** A submission was accepted: its id was given out. */
  accepted(of: { model: string }): void;
  /** A submission was refused; without a `model` where none of that name is known. */
  refused(of: { model?: string | undefined; code: ErrorCode }): void;
  /** A task was claimed for the first time. */
  begun(of: { model: string; queuedMs: number }): void;
  /** One run of a model, of one task or of several: counted once. */
  ran(of: { model: string; runMs: number; batchSize: number }): void;
  /** A task reached its terminal state; to be told by the one whose change was carried out. */
  ended(of: { model: string; state: TaskState; totalMs: number }): void;
  /** A task is to be tried again: one more attempt. */
  retried(of: { model: string }): void;
  /** A task went back without an attempt. */
  returned(of: { model: string }): void;
  /** A message became a dead letter; without a `model` where it says none. */
  deadLettered(of: { model?: string | undefined }): void;
  /** A message was dropped because its task had ended. */
  duplicateDropped(of: { model: string }): void;
  /** A task of a shared run was run again alone, to compare. */
  sharingChecked(of: { model: string }): void;
  /** What came of that ended the sharing of the model's runs. */
  sharingEnded(of: { model: string }): void;
  /** A connection that was lost is there again. */
  reconnected(connection: ConnectionName): void;
  /** Has the series of these models exist, at 0, as far as a process counts what it does: one that submits, or one that runs. */
  know(models: readonly string[], does: 'submits' | 'runs'): void;
  /** Has something asked at each scrape, from then on; who says it last is asked. */
  observe(observed: Partial<Observed>): void;
  /** Everything, in Prometheus's text format, which `contentType` names. */
  exposition(): Promise<string>;
  readonly contentType: string;
}

/** Seconds. From a worker that is idle to a night's backlog. */
const WAIT_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200];
/** Seconds. From a classifier of flowers to a model that takes its whole time. */
const RUN_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const BATCH_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/** Metrics of one process, with those of Node itself; nothing is shared with others that the process may have. */
export function createMetrics(): Metrics {
  const registry = Registry.merge([processRegistry()]);
  const registers = [registry];
  const counter = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new Counter({ name, help, labelNames, registers });
  const histogram = <Label extends string>(name: string, help: string, labelNames: Label[], buckets: number[]) =>
    new Histogram({ name, help, labelNames, buckets, registers });

  const accepted = counter('foretell_submissions_total', 'Submissions that were accepted.', ['model']);
  const refused = counter('foretell_submissions_refused_total', 'Submissions that were refused.', ['model', 'code']);
  const ended = counter('foretell_tasks_ended_total', 'Tasks that this process ended.', ['model', 'state']);
  const retries = counter('foretell_retries_total', 'Tasks that are to be tried again.', ['model']);
  const returns = counter('foretell_returns_total', 'Tasks that went back without an attempt.', ['model']);
  const deadLetters = counter('foretell_dead_letters_total', 'Messages that became dead letters.', ['model']);
  const duplicates = counter('foretell_duplicates_dropped_total', 'Messages of tasks that had ended.', ['model']);
  const checksHelp = 'Shared runs of which a task was run again alone.';
  const sharingChecks = counter('foretell_sharing_checks_total', checksHelp, ['model']);
  const sharingEnds = counter('foretell_sharing_ended_total', 'How often such a check ended sharing.', ['model']);
  const reconnects = counter('foretell_reconnects_total', 'Connections that came back.', ['connection']);
  const queuedHelp = 'From the submission to the first claim.';
  const queuedSeconds = histogram('foretell_queued_seconds', queuedHelp, ['model'], WAIT_BUCKETS);
  const runSeconds = histogram('foretell_run_seconds', 'One run of a model, of a whole batch.', ['model'], RUN_BUCKETS);
  const batchSize = histogram('foretell_batch_size', 'Tasks that shared a run.', ['model'], BATCH_BUCKETS);
  const totalHelp = 'From the submission to the terminal state.';
  const taskSeconds = histogram('foretell_task_seconds', totalHelp, ['model', 'state'], WAIT_BUCKETS);
  // A series that appears with its first event hides that event from `rate()`.
  for (const connection of CONNECTIONS) reconnects.inc({ connection }, 0);
  for (const code of REFUSALS) refused.inc({ model: '', code }, 0);
  deadLetters.inc({ model: '' }, 0);

  const labelOf = createModelLabel();
  const mayEnd = (model: string, states: readonly TaskState[]) => {
    for (const state of states) ended.inc({ model, state }, 0);
    for (const state of states) taskSeconds.zero({ model, state });
  };
  return {
    accepted: ({ model }) => accepted.inc({ model: labelOf(model) }),
    refused: ({ model, code }) => refused.inc({ model: labelOf(model), code }),
    begun: ({ model, queuedMs }) => queuedSeconds.observe({ model: labelOf(model) }, seconds(queuedMs)),
    ran({ model: name, ...run }) {
      const model = labelOf(name);
      runSeconds.observe({ model }, seconds(run.runMs));
      batchSize.observe({ model }, run.batchSize);
    },
    ended({ model, state, totalMs }) {
      const labels = { model: labelOf(model), state };
      ended.inc(labels);
      taskSeconds.observe(labels, seconds(totalMs));
    },
    retried: ({ model }) => retries.inc({ model: labelOf(model) }),
    returned: ({ model }) => returns.inc({ model: labelOf(model) }),
    deadLettered: ({ model }) => deadLetters.inc({ model: labelOf(model) }),
    duplicateDropped: ({ model }) => duplicates.inc({ model: labelOf(model) }),
    sharingChecked: ({ model }) => sharingChecks.inc({ model: labelOf(model) }),
    sharingEnded: ({ model }) => sharingEnds.inc({ model: labelOf(model) }),
    know: createKnownModels(labelOf, {
      submits(model) {
        accepted.inc({ model }, 0);
        for (const code of REFUSALS) refused.inc({ model, code }, 0);
        mayEnd(model, ['CANCELLED', 'EXPIRED']);
      },
      runs(model) {
        for (const each of [retries, returns, deadLetters, duplicates]) each.inc({ model }, 0);
        for (const each of [sharingChecks, sharingEnds]) each.inc({ model }, 0);
        for (const each of [queuedSeconds, runSeconds, batchSize]) each.zero({ model });
        mayEnd(model, ['SUCCEEDED', 'FAILED']);
      },
    }),
    reconnected: (connection) => reconnects.inc({ connection }),
    observe: (observed) => observe(registry, observed, labelOf),
    exposition: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

/** Two machines' clocks differ: a task may seem to be claimed before it was submitted. */
function seconds(ms: number): number {
  return Math.max(0, ms) / 1_000;
}
