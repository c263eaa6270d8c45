import fc from 'fast-check';
import { BEHAVIOURS, type Behaviour } from './simulated-pool.ts';

/** What one client does. */
export interface ClientPlan {
  /** Milliseconds from the beginning, like every `…At`. */
  submitAt: number;
  /** How many tasks it submits at once. */
  count: number;
  behaviour: Behaviour;
  /** Clients with the same key ask for the same task. */
  key: string | undefined;
  isHigh: boolean;
  expiresInMs: number | undefined;
  /** How long the answer may be held. */
  waitMs: number;
  cancelAfterMs: number | undefined;
  /** One subscription for each, so long after the id was given out. */
  subscribeAfterMs: number[];
  followsUpdates: boolean;
}

export const FAULTS = [
  'kill worker',
  'drain worker',
  'kill inference process',
  'kill api',
  'cut worker from broker',
  'broker away',
  'broker takes nothing',
  'store away',
  'lose events',
  'duplicate message',
  'flush store',
] as const;

export interface FaultPlan {
  at: number;
  kind: (typeof FAULTS)[number];
  /** How long it lasts, or until what died is replaced. */
  ms: number;
  /** Which of them, where there are several. */
  which: number;
}

/** All that makes one world different from another. */
export interface Scenario {
  /** Of the latencies, and of every other chance that is not spelled out here. */
  chance: number;
  clients: ClientPlan[];
  faults: FaultPlan[];
  workers: number;
  apis: number;
  slots: number;
  maxAttempts: number;
  maxWaiting: number;
  /** How many of a thousand calls fail although nothing is down. */
  lossyStore: number;
  lossyBroker: number;
  /** A message that was delivered more often is dead-lettered. */
  deliveryLimit: number;
  /** By how many milliseconds a machine's clock may be wrong, in either direction. */
  clockSkewMs: number;
}

/** RabbitMQ's, as topology.ts sets it: no world gets there, so some have a lower one. */
export const DELIVERY_LIMIT = 20;

/** By then every fault is over. */
export const FAULTS_END_MS = 30_000;

/** One in four, or so. */
const rarely = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });

/** Mostly soon, when much happens; sometimes long after. */
const moment = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 300 }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 12_000 }) },
);

const clientPlan: fc.Arbitrary<ClientPlan> = fc
  .record({
    submitAt: moment,
    count: fc.constantFrom(1, 1, 1, 5),
    behaviour: fc.constantFrom<Behaviour>('well', 'well', 'well', 'well', 'slowly', 'slowly', ...BEHAVIOURS),
    key: rarely(fc.constantFrom('a', 'b')),
    isHigh: fc.boolean(),
    expiresInMs: rarely(fc.oneof(fc.integer({ min: 1, max: 150 }), fc.integer({ min: 1, max: 6_000 }))),
    cancelAfterMs: rarely(moment),
    subscribeAfterMs: fc.array(moment, { minLength: 1, maxLength: 2 }),
    followsUpdates: fc.boolean(),
    waitMs: fc.constantFrom(0, 0, 1_000),
  })
  // A key stands for one task, whoever submits it.
  .map((plan) =>
    plan.key === undefined ? plan : { ...plan, count: 1, behaviour: plan.key === 'a' ? 'well' : 'slowly' },
  );

const faultPlan: fc.Arbitrary<FaultPlan> = fc.record({
  at: fc.oneof(fc.integer({ min: 0, max: 1_500 }), moment),
  kind: fc.constantFrom(...FAULTS.slice(0, -1), ...FAULTS.slice(0, -1), ...FAULTS),
  ms: fc.integer({ min: 0, max: 8_000 }),
  which: fc.nat(2),
});

export const scenario: fc.Arbitrary<Scenario> = fc.record({
  chance: fc.noShrink(fc.integer()),
  clients: fc.array(clientPlan, { minLength: 1, maxLength: 6, size: 'max' }),
  faults: fc.array(faultPlan, { maxLength: 5, size: 'max' }),
  workers: fc.integer({ min: 1, max: 3 }),
  apis: fc.integer({ min: 1, max: 2 }),
  slots: fc.integer({ min: 1, max: 2 }),
  maxAttempts: fc.integer({ min: 1, max: 3 }),
  maxWaiting: fc.constantFrom(100_000, 100_000, 2),
  lossyStore: fc.constantFrom(0, 0, 20, 150),
  lossyBroker: fc.constantFrom(0, 0, 20, 150),
  deliveryLimit: fc.constantFrom(DELIVERY_LIMIT, DELIVERY_LIMIT, DELIVERY_LIMIT, 1),
  clockSkewMs: fc.constantFrom(0, 0, 1_000, 60_000),
});

/** Whether inputs are too large for messages: in every other world, whatever else is in it. */
export function isLarge({ chance }: Scenario): boolean {
  return chance % 2 === 0;
}

/** Whether nothing is to go wrong in this world: then more can be promised. */
export function isCalm({ faults, lossyStore, lossyBroker }: Scenario): boolean {
  return faults.length === 0 && lossyStore === 0 && lossyBroker === 0;
}

/** Whether the store answers whatever it is asked, and at once. */
export function isStoreSure({ faults, lossyStore }: Scenario): boolean {
  return lossyStore === 0 && faults.every(({ kind }) => kind !== 'store away' && kind !== 'flush store');
}

/** How much the clocks of two machines may differ: one is ahead, the other behind. */
export function clocksDifferMs({ clockSkewMs }: Scenario): number {
  return 2 * clockSkewMs;
}
