import type { Broker, Verdict } from '../../src/broker/broker.ts';
import type { TaskStore } from '../../src/store/store.ts';
import type { Effect } from '../../src/task/record.ts';
import { isTerminal, TASK_STATES } from '../../src/task/task.ts';
import type { SimulatedStore } from './simulated-store.ts';

interface Seams {
  broker: Broker;
  store: TaskStore;
}

/** A bug, put between the product and its seams. */
export interface Planted {
  /** What the store makes of a change. */
  effect?: (effect: Effect) => Effect;
  /** What a process is given in the place of its broker and store. */
  seams?: (plain: Seams & { server: SimulatedStore }) => Partial<Seams>;
}

/** A broker that is told other verdicts than the worker gives. */
const verdicts =
  (change: (verdict: Promise<Verdict>) => Promise<Verdict>) =>
  ({ broker }: Seams): Partial<Seams> => ({
    broker: {
      ...broker,
      consume: (options, handler) => broker.consume(options, (delivery) => change(handler(delivery))),
    },
  });

/** Each of them breaks one of the orders that docs/decisions/order.md gives the reasons of. */
export const PLANTED: Record<string, Planted> = {
  'acks before it stores': {
    seams: verdicts(async (verdict) => {
      verdict.catch(() => undefined);
      return 'ack';
    }),
  },
  'publishes a retry without counting it': {
    seams: verdicts(async (pending) => {
      const verdict = await pending;
      return typeof verdict === 'object' && 'retryAfterMs' in verdict
        ? { returnAfterMs: verdict.retryAfterMs }
        : verdict;
    }),
  },
  'returns a message whose worker has died as if it were a second copy': {
    seams: ({ broker }) => ({
      broker: {
        ...broker,
        consume: (options, handler) =>
          broker.consume(options, (delivery) => handler({ ...delivery, redelivered: false })),
      },
    }),
  },
  'stores a result without publishing it': {
    effect: ({ publish, ...effect }) => (!publish || isTerminal(effect.state) ? effect : { ...effect, publish }),
  },
  'lets a task be claimed that has ended': {
    effect: (effect) => (effect.claim === undefined ? effect : { ...effect, from: [...TASK_STATES, 'ABSENT'] }),
  },
  'stores a second result over the first': {
    effect: (effect) => (effect.end ? { ...effect, from: [...TASK_STATES, 'ABSENT'] } : effect),
  },
  'believes that all clocks agree': {
    seams: ({ store, server }) => ({
      store: {
        ...store,
        transition: async (id, change) => {
          const { submittedAt = 0 } = server.record(id)?.submission ?? {};
          return change.to === 'SUCCEEDED' && change.at < submittedAt ? undefined : store.transition(id, change);
        },
      },
    }),
  },
  'deletes a submission that was refused, and leaves no tombstone': {
    seams: ({ store, server }) => ({
      store: {
        ...store,
        transition: async (id, change) => {
          const attempts = await store.transition(id, change);
          if (change.to === 'WITHDRAWN' && attempts !== undefined) server.forget(id);
          return attempts;
        },
      },
    }),
  },
  'reads the state, and only then begins to listen': {
    seams: ({ store }) => ({
      store: {
        ...store,
        watch: (id, listener) => {
          let unwatch: (() => void) | undefined;
          const timer = setTimeout(() => {
            unwatch = store.watch(id, listener);
          }, 100);
          return () => {
            clearTimeout(timer);
            unwatch?.();
          };
        },
      },
    }),
  },
};
