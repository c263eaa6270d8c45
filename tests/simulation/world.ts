import { StoreUnavailable } from '../../src/errors.ts';
import { createRandom } from '../support/random.ts';
import { runClient } from './clients.ts';
import { addTo, createLedger, type Ledger } from './ledger.ts';
import type { Setting } from './machine.ts';
import { Machines } from './machines.ts';
import { modelWith } from './model.ts';
import type { Planted } from './planted.ts';
import { FAULTS_END_MS, type FaultPlan, isLarge, type Scenario } from './scenario.ts';
import { createSimulatedBroker, type SimulatedBroker } from './simulated-broker.ts';
import { createSimulatedStore, type SimulatedStore } from './simulated-store.ts';
import { turnOfTheLoop, VirtualTime } from './virtual-time.ts';
import { createWorldLog, text } from './world-log.ts';

/** Every task should long have ended by then: the retry ladder, and all that waits for it, takes minutes. */
const END_MS = 30 * 60_000;
const CLOSE_MS = 60_000;

/** All that was there, when it is over. */
export interface Past {
  ledger: Ledger;
  store: SimulatedStore;
  broker: SimulatedBroker;
  /** From then on nothing was in the way of any task. */
  recoveredAt: number;
  trace: string[];
}

export interface SimulateOptions {
  /** A bug that is to be found. */
  plant?: Planted | undefined;
  /** Keeps what happened, line by line. */
  traced?: boolean;
}

interface World extends Past {
  setting: Setting;
  machines: Machines;
}

/** Runs one world to its end: the product's own code, on a broker, a store, a clock and processes that are all simulated. */
export async function simulate(scenario: Scenario, options: SimulateOptions = {}): Promise<Past> {
  const world = createWorld(scenario, options);
  const { setting, ledger, machines } = world;
  const { time, random, trace } = setting;
  const { told, failed, isOver } = begin(scenario, world);
  const ended = await Promise.race([time.run(random, isOver, time.now + END_MS), failed]);
  if (!ended) ledger.broken.push(told() ? 'messages are left in the broker' : 'a client waits for ever');
  trace('closing');
  let allClosed = false;
  void Promise.all(machines.workers.map(({ machine, worker }) => machine.run(() => worker.close()))).then(() => {
    allClosed = true;
  });
  if (!(await time.run(random, () => allClosed, time.now + CLOSE_MS))) ledger.broken.push('a worker does not close');
  for (const { machine, watching } of [...machines.apis, ...machines.workers]) {
    if (watching() > 0) ledger.broken.push(`${watching()} listeners are left on ${machine.name}`);
  }
  await turnOfTheLoop();
  return world;
}

function createWorld(scenario: Scenario, { plant = {}, traced = false }: SimulateOptions): World {
  const time = new VirtualTime();
  const startedAt = time.now;
  const trace: string[] = [];
  const write = (...what: unknown[]) => {
    trace.push(`${String(time.now - startedAt).padStart(7)} ${what.map(text).join(' ')}`);
  };
  const setting: Setting = { time, random: createRandom(scenario.chance), trace: traced ? write : () => undefined };
  const ledger = createLedger();
  const log = createWorldLog(setting, ledger);
  const broker = createSimulatedBroker(setting, {
    lossy: scenario.lossyBroker / 1_000,
    deliveryLimit: scenario.deliveryLimit,
    onHandlerError: (error) => {
      // A task that its worker gives back, because the store is away and it closes or has lost the delivery.
      if (!(error instanceof StoreUnavailable)) ledger.broken.push(`a handler threw ${error}`);
    },
  });
  const store = createSimulatedStore(setting, {
    lossy: scenario.lossyStore / 1_000,
    log,
    plant: plant.effect,
    onApplied: (applied) => addTo(ledger.changes, applied.id, { ...applied, at: time.now }),
  });
  const { slots } = scenario;
  const messageInputBytesMax = isLarge(scenario) ? 0 : Number.POSITIVE_INFINITY;
  const machines = new Machines({
    setting,
    broker,
    store,
    model: modelWith(scenario),
    slots,
    clockSkewMs: scenario.clockSkewMs,
    messageInputBytesMax,
    ledger,
    plant,
    log,
  });
  const recoveredAt = startedAt + FAULTS_END_MS;
  return { setting, ledger, broker, store, machines, recoveredAt, trace };
}

/** Sets all in motion that is planned. */
function begin(scenario: Scenario, world: World) {
  const { setting, machines, ledger, broker, store } = world;
  const { time } = setting;
  const { served: model } = modelWith(scenario);
  const failed = Promise.withResolvers<never>();
  const planned = scenario.faults.map(({ at, ms }) => at + ms);
  const quietAt = time.now + Math.max(0, ...planned) + 100;
  let allTold = false;

  async function live(): Promise<void> {
    for (let i = 0; i < scenario.apis; i += 1) machines.startApi();
    for (let i = 0; i < scenario.workers; i += 1) await machines.startWorker();
    for (const fault of scenario.faults) time.after(fault.at, () => strike(fault, world));
    time.after(FAULTS_END_MS, () => {
      broker.heal();
      store.heal();
    });
    const options = { setting, anApi: () => machines.anApi(), model, ledger };
    await Promise.all(scenario.clients.map((plan, i) => runClient(i, plan, options)));
    allTold = true;
  }

  // Not before time runs: a timer that is set earlier would be a real one.
  time.after(0, () => void live().catch(failed.reject));
  return {
    told: () => allTold,
    failed: failed.promise,
    isOver: () => allTold && time.now >= quietAt && broker.isEmpty(),
  };
}

const STRIKES: Record<FaultPlan['kind'], (world: World, fault: FaultPlan) => void> = {
  'kill worker': ({ machines }, { which, ms }) => machines.killWorker(which, ms),
  'drain worker': ({ machines }, { which, ms }) => machines.drainWorker(which, ms),
  'kill inference process': ({ machines }) => machines.workers.some(({ pool }) => pool.killOne()),
  'kill api': ({ machines }, { which, ms }) => machines.killApi(which, ms),
  'cut worker from broker': ({ machines: { workers }, broker }, { which }) => {
    const worker = workers[which % workers.length];
    if (worker) broker.cut(worker.machine);
  },
  'broker away': ({ broker }, { ms }) => broker.outage(ms),
  'broker takes nothing': ({ broker }, { ms }) => broker.alarm(ms),
  'store away': ({ store }, { ms }) => store.outage(ms),
  'lose events': ({ store }, { ms }) => store.loseEvents(ms),
  'duplicate message': ({ broker }) => broker.duplicate(),
  'flush store': ({ store, ledger, setting }) => {
    ledger.flushedAt = setting.time.now;
    store.flush();
  },
};

function strike(fault: FaultPlan, world: World): void {
  world.setting.trace('fault:', fault.kind, fault.ms);
  STRIKES[fault.kind](world, fault);
}
