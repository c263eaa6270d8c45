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
  return {
    accepted: counter('foretell_submissions_total', 'Submissions that were accepted.', ['model']),
    refused: counter('foretell_submissions_refused_total', 'Submissions that were refused.', ['model', 'code']),
    ended: counter('foretell_tasks_ended_total', 'Tasks that this process ended.', ['model', 'state']),
    retries: counter('foretell_retries_total', 'Tasks that will be retried.', ['model']),
    returns: counter('foretell_returns_total', 'Tasks that were returned without an attempt.', ['model']),
    deadLetters: counter('foretell_dead_letters_total', 'Messages that became dead letters.', ['model']),
    duplicates: counter('foretell_duplicates_dropped_total', 'Messages whose task had ended already.', ['model']),
    sharingChecks: counter(
      'foretell_sharing_checks_total',
      'Shared runs that were checked by running one task again alone.',
      ['model'],
    ),
    sharingEnds: counter('foretell_sharing_ended_total', 'Checks that ended sharing.', ['model']),
    reconnects: counter('foretell_reconnects_total', 'Connections that came back.', ['connection']),
    queuedSeconds: histogram(
      'foretell_queued_seconds',
      'From the submission to the first claim.',
      ['model'],
      WAIT_BUCKETS,
    ),
    runSeconds: histogram('foretell_run_seconds', 'One run of a model, of a whole batch.', ['model'], RUN_BUCKETS),
    batchSize: histogram('foretell_batch_size', 'Tasks that shared a run.', ['model'], BATCH_BUCKETS),
    taskSeconds: histogram(
      'foretell_task_seconds',
      'From the submission to the terminal state.',
      ['model', 'state'],
      WAIT_BUCKETS,
    ),
  };
}
