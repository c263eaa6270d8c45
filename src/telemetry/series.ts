import { Counter, Histogram, type Registry } from 'prom-client';

/** Seconds. From a worker that is idle to a night's backlog. */
const WAIT_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200];
/** Seconds. From a classifier of flowers to a model that takes its whole time. */
const RUN_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const BATCH_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/** All that a process counts, by name. */
export function createSeries(registry: Registry) {
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
  return {
    accepted,
    refused,
    ended,
    retries,
    returns,
    deadLetters,
    duplicates,
    sharingChecks,
    sharingEnds,
    reconnects,
    queuedSeconds,
    runSeconds,
    batchSize,
    taskSeconds,
  };
}
