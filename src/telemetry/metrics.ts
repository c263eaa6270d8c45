import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { ErrorCode } from '../errors.ts';
import type { TaskState } from '../task.ts';
import { createModelLabel, type ModelLabel } from './model-label.ts';
import { oneReading } from './one-reading.ts';

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
  /** A connection that was lost is there again. */
  reconnected(connection: ConnectionName): void;
  /** Has something asked at each scrape, from then on; who says it last is asked. */
  observe(observed: Partial<Observed>): void;
  /** Everything, in Prometheus's text format, which `contentType` names. */
  exposition(): Promise<string>;
  readonly contentType: string;
}

/** What is true at the moment of a scrape. A process gives what it knows; of the rest it says nothing. */
export interface Observed {
  /** Messages that wait in the broker. Left out of a scrape if the broker is away or does not answer within a second. */
  queueDepths(): Promise<readonly { model: string; lane: 'normal' | 'high'; messages: number }[]>;
  /** The tasks that a worker holds: QUEUED ones wait for their run, RUNNING ones are in it. */
  tasksInHand(): readonly { model: string; state: 'QUEUED' | 'RUNNING'; tasks: number }[];
  openSubscriptions(): number;
  /** Listeners for changes of tasks: at least one for each task of an open subscription. */
  taskListeners(): number;
  heldDeliveries(): number;
  heldBytes(): number;
  /** What lies in the directory of models and cannot be served. */
  modelFaults(): readonly { model?: string | undefined }[];
  /** Of each model: shared runs of which a task was run again alone, and how often that ended sharing. */
  sharing(): readonly { model: string; checks: number; ended: number }[];
  /** Inference processes that had to be replaced so far. */
  inferenceRestarts(): number;
  /** The models that inference processes have loaded, each in as many of them as it ran in; loads and evictions so far. */
  sessions(): { loaded: number; bytes: number; loads: number; evictions: number };
}

/** A scrape waits no longer for the broker: Prometheus gives up the whole of it after ten seconds. */
const DEPTHS_MS = 1_000;

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
  const reconnects = counter('foretell_reconnects_total', 'Connections that came back.', ['connection']);
  const queuedHelp = 'From the submission to the first claim.';
  const queuedSeconds = histogram('foretell_queued_seconds', queuedHelp, ['model'], WAIT_BUCKETS);
  const runSeconds = histogram('foretell_run_seconds', 'One run of a model, of a whole batch.', ['model'], RUN_BUCKETS);
  const batchSize = histogram('foretell_batch_size', 'Tasks that shared a run.', ['model'], BATCH_BUCKETS);
  const totalHelp = 'From the submission to the terminal state.';
  const taskSeconds = histogram('foretell_task_seconds', totalHelp, ['model', 'state'], WAIT_BUCKETS);
  // A series that appears with its first event hides that event from `rate()`.
  for (const connection of CONNECTIONS) reconnects.inc({ connection }, 0);

  const labelOf = createModelLabel();
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
    reconnected: (connection) => reconnects.inc({ connection }),
    observe: (observed) => observe(registry, observed, labelOf),
    exposition: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

let ofProcess: Registry | undefined;

/** What Node says of the process. Once, however many `Metrics` it has: what observes the garbage collector never ends. */
function processRegistry(): Registry {
  if (!ofProcess) {
    ofProcess = new Registry();
    collectDefaultMetrics({ register: ofProcess });
  }
  return ofProcess;
}

/** Two machines' clocks differ: a task may seem to be claimed before it was submitted. */
function seconds(ms: number): number {
  return Math.max(0, ms) / 1_000;
}

function observe(registry: Registry, observed: Partial<Observed>, labelOf: ModelLabel): void {
  const registers = [registry];
  const { queueDepths, tasksInHand, modelFaults, sessions, sharing } = observed;
  const gauge = (name: string, help: string, read: (() => number) | undefined) => {
    if (!read) return;
    registry.removeSingleMetric(name);
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  };
  const counter = (name: string, help: string, read: (() => number) | undefined) => {
    if (!read) return;
    registry.removeSingleMetric(name);
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  };
  gauge('foretell_open_subscriptions', 'Subscriptions that are open.', observed.openSubscriptions);
  gauge('foretell_task_listeners', 'Listeners for changes of tasks.', observed.taskListeners);
  gauge('foretell_held_deliveries', 'Deliveries that are not settled yet.', observed.heldDeliveries);
  gauge('foretell_held_bytes', 'Bytes of the deliveries that are not settled yet.', observed.heldBytes);
  const restartsHelp = 'Inference processes that had to be replaced.';
  counter('foretell_inference_restarts_total', restartsHelp, observed.inferenceRestarts);
  gauge('foretell_sessions', 'Sessions of loaded models.', sessions && (() => sessions().loaded));
  gauge('foretell_session_bytes', 'Bytes that loaded models hold.', sessions && (() => sessions().bytes));
  counter('foretell_session_loads_total', 'Models that were loaded.', sessions && (() => sessions().loads));
  const evictionsHelp = 'Sessions that made room for others.';
  counter('foretell_session_evictions_total', evictionsHelp, sessions && (() => sessions().evictions));
  const ofSharing = (name: string, help: string, count: 'checks' | 'ended') => {
    if (!sharing) return;
    registry.removeSingleMetric(name);
    new Counter({
      name,
      help,
      labelNames: ['model'],
      registers,
      collect() {
        this.reset();
        for (const { model, ...counts } of sharing()) this.inc({ model: labelOf(model) }, counts[count]);
      },
    });
  };
  ofSharing('foretell_sharing_checks_total', 'Shared runs of which a task was run again alone.', 'checks');
  ofSharing('foretell_sharing_ended_total', 'How often such a check ended the sharing of runs.', 'ended');
  if (tasksInHand) {
    registry.removeSingleMetric('foretell_tasks_in_hand');
    new Gauge({
      name: 'foretell_tasks_in_hand',
      help: 'Tasks that this worker holds: QUEUED ones wait for their run, RUNNING ones are in it.',
      labelNames: ['model', 'state'],
      registers,
      collect() {
        this.reset();
        // Added up, because models beyond the bound share a series.
        for (const { model, state, tasks } of tasksInHand()) this.inc({ model: labelOf(model), state }, tasks);
      },
    });
  }
  if (modelFaults) {
    registry.removeSingleMetric('foretell_model_faults');
    new Gauge({
      name: 'foretell_model_faults',
      help: 'Models, or versions of them, that cannot be served as they lie in the directory of models.',
      labelNames: ['model'],
      registers,
      collect() {
        this.reset();
        for (const { model = '' } of modelFaults()) this.inc({ model: labelOf(model) });
      },
    });
  }
  if (queueDepths) {
    const readInTime = oneReading(queueDepths, DEPTHS_MS);
    registry.removeSingleMetric('foretell_queue_messages');
    new Gauge({
      name: 'foretell_queue_messages',
      help: 'Messages that wait in the broker; absent while it does not answer.',
      labelNames: ['model', 'lane'],
      registers,
      async collect() {
        const depths = await readInTime();
        this.reset();
        for (const { model, lane, messages } of depths ?? []) this.inc({ model: labelOf(model), lane }, messages);
      },
    });
  }
}
