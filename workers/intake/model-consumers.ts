import { inBackground } from '../../src/async/in-background.ts';
import { createListeners } from '../../src/async/listeners.ts';
import { oneAtATime } from '../../src/async/one-at-a-time.ts';
import type { Broker } from '../../src/broker/broker.ts';
import type { Log } from '../../src/process/log.ts';
import type { ModelSource } from '../repository/model-repository.ts';
import type { Pace } from '../scheduling/prefetch.ts';
import type { TaskIntake } from './intake.ts';
import { ModelQueues } from './model-queues.ts';
import { presentLimits } from './present-limits.ts';

export interface ModelConsumersOptions {
  broker: Broker;
  models: ModelSource;
  slots: number;
  /** Whether no more of a model is to be taken at present. */
  isPaused: (model: string) => boolean;
  log: Log;
}

/** The consumers of a worker: those of every model that it can run, as models come and go. */
export interface ModelConsumers {
  /** Hands every delivery to `take`; resolves when the queues of all models that are there are consumed. */
  open(take: TaskIntake): Promise<void>;
  /** Told of each run. */
  ran(model: string, run: Pace): void;
  /** The most of a model that is taken at once; no limit where none of it is. */
  prefetch(model: string): number;
  /** Told when `isPaused` may say otherwise than before. */
  repause(): void;
  /** Calls `listener` when less of a model is to be held than before; by a new limit, or because its runs are slower. */
  onLess(listener: (model: string, isByLimit: boolean) => void): () => void;
  /** Takes no more deliveries; resolves when the verdicts of those in hand are with the broker. */
  close(): Promise<void>;
}

export function createModelConsumers(options: ModelConsumersOptions): ModelConsumers {
  const { broker, models, slots, isPaused, log } = options;
  const queues = new Map<string, ModelQueues>();
  const less = createListeners<[model: string, isByLimit: boolean]>();
  /** While they are open. */
  let handler: TaskIntake | undefined;

  async function consume(name: string, take: TaskIntake): Promise<void> {
    const opened = await ModelQueues.open({
      broker,
      name,
      versions: () =>
        models
          .runnable()
          .filter(({ served }) => served.name === name)
          .map((model) => presentLimits(model, models)),
      slots,
      handler: (lane, delivery) => take(name, lane, delivery),
      onLess: (isByLimit) => less.call(name, isByLimit),
      log,
    });
    queues.set(name, opened);
    if (isPaused(name)) opened.pause();
  }

  const follow = oneAtATime(async () => {
    const take = handler;
    if (!take) return;
    const names = new Set(models.runnable().map(({ served }) => served.name));
    for (const [name, gone] of queues) {
      if (names.has(name)) continue;
      queues.delete(name);
      // Not waited for: what is in hand may take its time.
      void gone.close();
    }
    for (const each of queues.values()) each.relimit();
    await Promise.all([...names].filter((name) => !queues.has(name)).map((name) => consume(name, take)));
  });
  const unwatch = models.watch(inBackground(follow, log));

  return {
    open(take) {
      handler = take;
      return follow();
    },
    onLess: less.add,
    ran: (model, run) => queues.get(model)?.ran(run),
    prefetch: (model) => queues.get(model)?.prefetch ?? Number.POSITIVE_INFINITY,
    repause() {
      for (const [name, each] of queues) {
        if (isPaused(name)) each.pause();
        else each.resume();
      }
    },
    async close() {
      handler = undefined;
      unwatch();
      // One that is being opened is closed as well.
      const opening = follow();
      const closeAll = () => Promise.all([...queues.values()].map((each) => each.close()));
      const closing = closeAll();
      await opening;
      await Promise.all([closing, closeAll()]);
    },
  };
}
