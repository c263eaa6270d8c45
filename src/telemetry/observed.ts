import { Counter, Gauge, type Registry } from 'prom-client';
import { createReading } from '../async/reading.ts';
import { within } from '../async/within.ts';
import { ifUnavailable } from '../errors.ts';
import { type ObservedBound, observeBounds } from './bound-metrics.ts';
import type { ModelLabel } from './model-label.ts';

/**
 * What is true at the moment of a scrape. A process gives what it knows; of the rest it says nothing. What is true of the whole deployment is told by
 * one process at a time, which has the lease for it, so that a sum over all processes is right.
 */
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
  /** How much cannot be served of each model, as workers found it in their directories. */
  modelFaults(): readonly { model: string; faults: number }[];
  /** What tasks take of the store, as it is counted, and the most that they may: infinite where nothing bounds it. One API tells. */
  storeBytes(): number | undefined;
  storeLimitBytes(): number | undefined;
  /** What this process bounds for its clients. */
  bounds(): readonly ObservedBound[];
  /** Inference processes that had to be replaced so far. */
  inferenceRestarts(): number;
  /** The models that inference processes have loaded, each in as many of them as it ran in; loads and evictions so far. */
  sessions(): { loaded: number; bytes: number; loads: number; evictions: number };
}

/** A scrape waits no longer for the broker: Prometheus gives up the whole of it after ten seconds. */
const DEPTHS_MS = 1_000;

/** Has this asked at each scrape of the registry. */
export function observe(registry: Registry, observed: Partial<Observed>, labelOf: ModelLabel): void {
  const { gauge, counter, rows } = collectorsOf(registry);
  const { queueDepths, tasksInHand, modelFaults, sessions, bounds } = observed;
  if (bounds) observeBounds(registry, bounds);
  gauge('foretell_open_subscriptions', 'Subscriptions that are open.', observed.openSubscriptions);
  gauge('foretell_task_listeners', 'Listeners for changes of tasks.', observed.taskListeners);
  gauge('foretell_held_deliveries', 'Deliveries that are not settled yet.', observed.heldDeliveries);
  gauge('foretell_held_bytes', 'Bytes of the deliveries that are not settled yet.', observed.heldBytes);
  gauge('foretell_store_bytes', 'Bytes that tasks take in the store, as counted.', observed.storeBytes);
  gauge('foretell_store_limit_bytes', 'Bytes that tasks may take in the store.', observed.storeLimitBytes);
  const restartsHelp = 'Inference processes that had to be replaced.';
  counter('foretell_inference_restarts_total', restartsHelp, observed.inferenceRestarts);
  gauge('foretell_sessions', 'Sessions of loaded models.', sessions && (() => sessions().loaded));
  gauge('foretell_session_bytes', 'Bytes that loaded models hold.', sessions && (() => sessions().bytes));
  counter('foretell_session_loads_total', 'Models that were loaded.', sessions && (() => sessions().loads));
  const evictionsHelp = 'Sessions that were evicted to load others.';
  counter('foretell_session_evictions_total', evictionsHelp, sessions && (() => sessions().evictions));
  const tasksHelp = 'Tasks that this worker holds: QUEUED ones wait for a run, RUNNING ones are in one.';
  rows('foretell_tasks_in_hand', tasksHelp, ['model', 'state'], tasksInHand, ({ model, state, tasks }) => [
    { model: labelOf(model), state },
    tasks,
  ]);
  const faultsHelp = 'Models or versions that cannot be served; one API reports it for all.';
  rows('foretell_model_faults', faultsHelp, ['model'], modelFaults, ({ model, faults }) => [
    { model: labelOf(model) },
    faults,
  ]);
  const depthsHelp =
    'Messages that wait in the broker; one API reports it for all, and nothing while the broker does not answer.';
  const depths = queueDepths && depthsInTime(queueDepths);
  rows('foretell_queue_messages', depthsHelp, ['model', 'lane'], depths, ({ model, lane, messages }) => [
    { model: labelOf(model), lane },
    messages,
  ]);
}

type Depths = Awaited<ReturnType<Observed['queueDepths']>>;

/** One reading for all scrapes meanwhile; nothing after a second, or in an outage. */
function depthsInTime(read: Observed['queueDepths']): () => Promise<Depths> {
  const reading = createReading(() => read().catch(ifUnavailable(undefined)));
  return async () => (await within(DEPTHS_MS, reading(0))) ?? [];
}

/** Makes metrics that are read at each scrape, in place of what has their name; none where nothing is to be read. */
function collectorsOf(registry: Registry) {
  const registers = [registry];
  return {
    gauge(name: string, help: string, read: (() => number | undefined) | undefined): void {
      if (!read) return;
      registry.removeSingleMetric(name);
      new Gauge({
        name,
        help,
        registers,
        collect() {
          const value = read();
          if (value === undefined) this.remove();
          else this.set(value);
        },
      });
    },
    counter(name: string, help: string, read: (() => number) | undefined): void {
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
    },
    /** A gauge with a series for each row; rows of the same labels are added up, because models beyond the bound share a series. */
    rows<Row, Label extends string>(
      name: string,
      help: string,
      labelNames: Label[],
      read: (() => readonly Row[] | Promise<readonly Row[]>) | undefined,
      seriesOf: (row: Row) => [labels: Record<Label, string>, value: number],
    ): void {
      if (!read) return;
      registry.removeSingleMetric(name);
      new Gauge({
        name,
        help,
        labelNames,
        registers,
        async collect() {
          const found = await read();
          this.reset();
          for (const [labels, value] of found.map(seriesOf)) this.inc(labels, value);
        },
      });
    },
  };
}
