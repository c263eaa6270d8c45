import { openExpirer } from '../../src/api/predictions/expirer.ts';
import { createPredictions } from '../../src/api/predictions/predictions.ts';
import type { Broker } from '../../src/broker/broker.ts';
import type { Log } from '../../src/process/log.ts';
import type { TaskStore } from '../../src/store/store.ts';
import { NO_METRICS } from '../../src/telemetry/no-metrics.ts';
import { NO_TRACING } from '../../src/telemetry/tracing.ts';
import type { LoadedModel } from '../../workers/repository/model-loading.ts';
import { startWorker, type Worker } from '../../workers/worker.ts';
import type { ApiMachine } from './client-options.ts';
import { addTo, type Ledger } from './ledger.ts';
import { Machine, type Setting } from './machine.ts';
import { modelsOf } from './model.ts';
import type { Planted } from './planted.ts';
import type { SimulatedBroker } from './simulated-broker.ts';
import { createSimulatedPool, type SimulatedPool } from './simulated-pool.ts';
import { RESULT_TTL_MS, type SimulatedStore } from './simulated-store.ts';

/** What a worker is given for its end, as by whoever sends it SIGTERM. */
const GRACE_MS = 10_000;

export interface WorkerMachine {
  machine: Machine;
  pool: SimulatedPool;
  worker: Worker;
  watching: () => number;
}

export interface MachinesOptions {
  setting: Setting;
  broker: SimulatedBroker;
  store: SimulatedStore;
  model: LoadedModel;
  slots: number;
  /** By how much clocks may be wrong. */
  clockSkewMs: number;
  /** Larger inputs go by the store. */
  messageInputBytesMax: number;
  ledger: Ledger;
  plant: Planted;
  log: Log;
}

/** The processes of a world: the product's own code, each with its connections. */
export class Machines {
  workers: WorkerMachine[] = [];
  apis: ApiMachine[] = [];
  readonly #options: MachinesOptions;
  #started = 0;

  constructor(options: MachinesOptions) {
    this.#options = options;
  }

  async startWorker(): Promise<void> {
    const { setting, ledger, model, slots, log } = this.#options;
    const { machine, broker, store, payloads } = this.#connect('worker');
    const onBegin = (task: number) => addTo(ledger.starts, task, { at: setting.time.now, machine });
    const pool = createSimulatedPool(setting, { machine, slots, onBegin });
    const options = { broker, store, payloads, pool, models: modelsOf(model), slots, log };
    const worker = await machine.run(() => startWorker(options));
    this.workers.push({ machine, pool, worker, watching: store.watching });
  }

  startApi(): void {
    const { log, messageInputBytesMax } = this.#options;
    const { machine, broker, store, deadlines, payloads, room } = this.#connect('api');
    const services = {
      broker,
      store,
      deadlines,
      payloads,
      registry: { sharing: () => undefined },
      room,
      messageInputBytesMax,
      resultTtlMs: RESULT_TTL_MS,
      metrics: NO_METRICS,
      tracing: NO_TRACING,
      log,
    };
    const predictions = machine.run(() => createPredictions(services));
    const expirer = machine.run(() => openExpirer(services));
    machine.onDeath(() => void expirer.close());
    this.apis.push({ machine, predictions, watching: store.watching });
  }

  /** One that is there; waits while none is. */
  async anApi(): Promise<ApiMachine> {
    const { time, random } = this.#options.setting;
    while (this.apis.length === 0) await new Promise<void>((resolve) => void time.after(50, resolve));
    return this.apis[random.integer(0, this.apis.length - 1)] ?? this.anApi();
  }

  killApi(which: number, replacedAfterMs: number): void {
    const api = this.apis[which % this.apis.length];
    if (!api) return;
    api.machine.kill();
    this.apis = this.apis.filter((each) => each !== api);
    this.#options.setting.time.after(replacedAfterMs, () => this.startApi());
  }

  killWorker(which: number, replacedAfterMs: number): void {
    this.#takeOut(which, replacedAfterMs)?.machine.kill();
  }

  drainWorker(which: number, replacedAfterMs: number): void {
    const drained = this.#takeOut(which, replacedAfterMs);
    if (!drained) return;
    this.#options.setting.time.after(GRACE_MS, () => drained.machine.kill());
    void drained.machine.run(() => drained.worker.close()).then(() => drained.machine.kill());
  }

  #takeOut(which: number, replacedAfterMs: number): WorkerMachine | undefined {
    const taken = this.workers[which % this.workers.length];
    if (!taken) return undefined;
    this.workers = this.workers.filter((each) => each !== taken);
    this.#options.setting.time.after(replacedAfterMs, () => void this.startWorker());
    return taken;
  }

  #connect(kind: string) {
    const { broker, store: server, plant, clockSkewMs } = this.#options;
    this.#started += 1;
    const machine = new Machine(`${kind} ${this.#started}`, clockSkewMs * wrongness(this.#started));
    const { store, deadlines, payloads, room } = server.connect(machine);
    const plain = clocked(machine, { broker: broker.connect(machine), store });
    return { machine, deadlines, payloads, room, ...plain, ...plant.seams?.({ ...plain, server }) };
  }
}

/** How wrong the clock of the n-th machine is, from -1 to 1: the first one's is right, the next is ahead of it, and so on. */
function wrongness(n: number): number {
  return [-1, 0, 1, -0.5, 0.5][n % 5] ?? 0;
}

/** What the servers tell a machine, it hears by its own clock. */
function clocked(
  machine: Machine,
  { broker, store }: { broker: Broker; store: TaskStore & { watching: () => number } },
) {
  return {
    broker: {
      ...broker,
      consume: (options, handler) => broker.consume(options, (delivery) => machine.run(() => handler(delivery))),
    } satisfies Broker,
    store: {
      ...store,
      watch: (id, listener) => store.watch(id, (event) => machine.run(() => listener(event))),
    } satisfies TaskStore,
  };
}
