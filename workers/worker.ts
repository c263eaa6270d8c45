import type { Broker } from '../src/broker/broker.ts';
import type { Sharings } from '../src/models/sharing.ts';
import type { Log } from '../src/process/log.ts';
import { rareLog } from '../src/process/rare-log.ts';
import type { Payloads } from '../src/store/payloads.ts';
import type { TaskStore } from '../src/store/store.ts';
import { NO_METRICS } from '../src/telemetry/no-metrics.ts';
import type { Observed } from '../src/telemetry/observed.ts';
import { NO_TRACING, type Tracing } from '../src/telemetry/tracing.ts';
import type { InferencePool } from './inference/inference-pool.ts';
import { createTaskIntake } from './intake/intake.ts';
import { createModelConsumers } from './intake/model-consumers.ts';
import { presentLimits } from './intake/present-limits.ts';
import type { ModelSource } from './repository/model-repository.ts';
import { Scheduler, type SchedulerStats } from './scheduling/scheduler.ts';
import { TaskSharing } from './scheduling/task-sharing.ts';
import type { FindRegistered } from './tasks/absent-model.ts';
import { claim } from './tasks/claim.ts';
import { consumeDeadLetters } from './tasks/dead-letters.ts';
import { createHeldBytes, HELD_BYTES_MAX } from './tasks/held-bytes.ts';
import type { HeldTask } from './tasks/held-task.ts';
import { createPatientStore } from './tasks/patient-store.ts';
import { createSettlement } from './tasks/settlement.ts';
import { createTasksInHand, type TasksInHand } from './tasks/tasks-in-hand.ts';
import type { WorkerObserver } from './tasks/worker-observer.ts';

export interface WorkerOptions {
  broker: Broker;
  store: TaskStore;
  payloads: Payloads;
  pool: InferencePool;
  models: ModelSource;
  /** @default one that remembers none */
  findRegistered?: FindRegistered;
  /** @default one that keeps none */
  recordSharing?: Sharings['recordSharing'];
  /** Inference processes of the pool. */
  slots: number;
  /** @default HELD_BYTES_MAX */
  heldBytesMax?: number;
  /** @default NO_METRICS */
  observer?: WorkerObserver;
  /** @default NO_TRACING */
  tracing?: Tracing;
  log: Log;
}

export interface Worker {
  stats(): SchedulerStats;
  /** What is in hand at present. */
  observed: Required<Pick<Observed, 'tasksInHand' | 'heldDeliveries' | 'heldBytes'>>;
  /**
   * Takes no more deliveries, gives back what has not begun, finishes what has, and resolves. Runs that take longer than the
   * grace time are killed, and their tasks handed back: no attempt. @default 8_000
   */
  close(graceMs?: number): Promise<void>;
}

/** Takes the prediction messages of its models from the broker, runs them in batches, and stores what comes out. */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const closing = new AbortController();
  const over = new AbortController();
  const parts = createParts(options, { closing: closing.signal, over: over.signal });
  const { context, inHand, heldBytes, scheduler, consumers, intake } = parts;
  const stopListening = connect(parts, options);
  const deadLetters = await consumeDeadLetters({ broker: options.broker, models: options.models, ...context });
  await consumers.open(intake);

  async function close(graceMs: number): Promise<void> {
    closing.abort();
    const closed = Promise.all([deadLetters, consumers].map((each) => each.close()));
    scheduler.drain(inHand.all());
    const grace = setTimeout(() => {
      over.abort();
      scheduler.abortRuns();
    }, graceMs);
    await Promise.all([closed, inHand.emptied()]);
    clearTimeout(grace);
    for (const stop of stopListening) stop();
  }
  let closed: Promise<void> | undefined;
  return {
    stats: () => scheduler.stats(),
    observed: {
      tasksInHand: () => countTasks(inHand.all(), (task) => scheduler.isRunning(task)),
      heldDeliveries: heldBytes.deliveries,
      heldBytes: heldBytes.total,
    },
    close: (graceMs = 8_000) => (closed ??= close(graceMs)),
  };
}

type Parts = ReturnType<typeof createParts>;

/** What a worker is made of, each part with those that it asks; whom it tells of its events is said in `connect`. */
function createParts(options: WorkerOptions, { closing, over }: { closing: AbortSignal; over: AbortSignal }) {
  const { broker, store, payloads, pool, models, slots, observer = NO_METRICS, tracing = NO_TRACING } = options;
  const { findRegistered = async () => undefined, recordSharing = async (_, finding) => finding } = options;
  // A task that fails, a message that is none, a model that is gone: all of these are lines that a caller can cause.
  const log = rareLog(options.log);
  const patient = createPatientStore({ store, over, log });
  const context = { patient, closing, observer, tracing, log };
  const settlement = createSettlement({ store, patient, observer, log });
  const inHand = createTasksInHand({ store, log });
  const heldBytes = createHeldBytes({ max: options.heldBytesMax ?? HELD_BYTES_MAX });
  const isPaused = (name: string) => pool.isFailing() || heldBytes.isPaused(name);
  const consumers = createModelConsumers({ broker, models, slots, isPaused, log });
  const scheduler = new Scheduler({
    pool,
    sharing: new TaskSharing({ record: recordSharing, observer, log }),
    slots,
    limiting: (model) => presentLimits(model, models),
    settlement,
    claim: (task) => claim(task, context),
    isPaused: patient.isAway,
    isFull: (name) => tasksOf(name, inHand).length >= consumers.prefetch(name),
    onRan: ({ served: { name } }, run) => {
      observer.ran({ model: name, ...run });
      consumers.ran(name, run);
    },
    tracing,
    log,
  });
  const intake = createTaskIntake({
    ...context,
    models,
    findRegistered,
    scheduler,
    settlement,
    inHand,
    heldBytes,
    payloads,
  });
  return { context, inHand, heldBytes, scheduler, consumers, intake };
}

/** Who is told of what. */
function connect(parts: Parts, { pool, models }: WorkerOptions): (() => void)[] {
  const { context, inHand, heldBytes, scheduler, consumers } = parts;
  return [
    context.patient.onBack(() => scheduler.dispatch()),
    pool.onIdle(() => scheduler.dispatch()),
    models.watch(() => scheduler.relimit()),
    inHand.onEnded((task) => scheduler.drop(task)),
    inHand.onLost((task) => scheduler.lose(task)),
    heldBytes.onChange(() => consumers.repause()),
    consumers.onLess((name, isByLimit) => {
      const held = tasksOf(name, inHand);
      if (isByLimit) scheduler.giveBack(held, true);
      else scheduler.giveWay(held);
    }),
    pool.onFailing(() => {
      consumers.repause();
      // Others may have processes to run them in.
      if (pool.isFailing()) scheduler.giveBack(inHand.all());
    }),
  ];
}

function tasksOf(model: string, inHand: TasksInHand): HeldTask[] {
  return inHand.all().filter((task) => task.model.served.name === model);
}

/** How many of a model's tasks wait for their run, and how many are in it. */
function countTasks(all: readonly HeldTask[], isRunning: (task: HeldTask) => boolean) {
  return [...Map.groupBy(all, ({ model }) => model.served.name)].flatMap(([model, tasks]) => {
    const running = tasks.filter(isRunning).length;
    return [
      { model, state: 'RUNNING' as const, tasks: running },
      { model, state: 'QUEUED' as const, tasks: tasks.length - running },
    ];
  });
}
