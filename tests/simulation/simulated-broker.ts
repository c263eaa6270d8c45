import { setTimeout as sleep } from 'node:timers/promises';
import type { Broker, BrokerMessage, Consumer, Delivery, Verdict } from '../../src/broker/broker.ts';
import { comingBack } from '../../src/broker/coming-back.ts';
import { BrokerUnavailable } from '../../src/errors.ts';
import { createCaller, type Line, latencyMs, type Machine, type Setting } from './machine.ts';
import { createServerQueues, type Held, type ServerChannel } from './server-queues.ts';

/** One server for all machines: each sees it through a `Broker` of its own, as with RabbitMQ. */
export interface SimulatedBroker {
  connect(machine: Machine): Broker;
  /** Nobody can reach it for so long; every connection is lost, and what was unacknowledged goes out again. */
  outage(ms: number): void;
  /** It is short of memory: it delivers, but takes nothing for so long. */
  alarm(ms: number): void;
  /** A machine's connections are gone; sooner or later it notices. */
  cut(machine: Machine): void;
  /** A message comes a second time. */
  duplicate(): void;
  /** From now on nothing is lost that is sent while it is there. */
  heal(): void;
  /** Whether no message is left, waiting or in anybody's hand. */
  isEmpty(): boolean;
  /** When a task's message was published to come back. */
  publishedAgain(id: string): readonly number[];
  /** How many copies of a task's message there were at most at once. */
  copiesMax(id: string): number;
}

type Handler = (delivery: Delivery) => Promise<Verdict>;

const PAUSE_MS = 1_000;
const RETIRE_MS = 1_000;
const CLOSED = new Error('the consumer is closed');

export function createSimulatedBroker(
  setting: Setting,
  options: { lossy: number; deliveryLimit: number; onHandlerError: (error: unknown) => void },
): SimulatedBroker {
  const { time, random, trace } = setting;
  const line: Line = {
    lossy: options.lossy,
    awayUntil: 0,
    timeoutMs: 5_000,
    refusal: (message) => new BrokerUnavailable(message),
  };
  /** Nobody can connect until then. */
  let awayUntil = 0;
  const call = createCaller(setting, line);
  const server = createServerQueues(setting, options.deliveryLimit);

  function attach(machine: Machine, queue: string, prefetch: number, handler: Handler): Consumer {
    const stopping = new AbortController();
    const closing = new AbortController();
    const inHand = new Set<Promise<void>>();
    let channel: ServerChannel | undefined;
    let isPaused = false;

    function connectSoon(delayMs: number): void {
      time.after(delayMs, () => {
        if (!machine.isAlive || stopping.signal.aborted) return;
        if (time.now < awayUntil) return connectSoon(random.integer(100, 5_000));
        const opened = server.open({ machine, queue, prefetch, isPaused, take: (held) => take(opened, held) });
        channel = opened;
        opened.lost.signal.addEventListener('abort', () => connectSoon(random.integer(100, 5_000)));
        return undefined;
      });
    }

    function take(from: ServerChannel, held: Held): void {
      // What arrives after the close began stays unacknowledged; the end of the channel gives it back.
      if (stopping.signal.aborted || from.lost.signal.aborted) return;
      const handled = handle(from, held).finally(() => inHand.delete(handled));
      inHand.add(handled);
    }

    async function handle({ lost, settle }: ServerChannel, held: Held): Promise<void> {
      const { message, deliveries } = held;
      const { signal } = lost;
      const redelivered = deliveries > 1;
      let verdict: Verdict;
      try {
        trace(machine.name, 'takes', message.id, 'from', queue, redelivered ? 'redelivered' : '');
        verdict = await handler({ ...message, returnsBefore: message.returnsBefore ?? 0, redelivered, signal });
      } catch (error) {
        options.onHandlerError(error);
        await pause(signal, closing.signal);
        verdict = 'requeue';
      }
      trace(machine.name, 'verdict on', message.id, verdict);
      if (typeof verdict === 'object') verdict = await publishAgain(held, verdict, signal);
      if (signal.aborted || !machine.isAlive) return;
      const given = verdict;
      await new Promise<void>((resolve) => {
        time.after(latencyMs(random), () => {
          settle(held, given);
          resolve();
        });
      });
    }

    async function publishAgain(held: Held, verdict: Extract<Verdict, object>, signal: AbortSignal) {
      while (!signal.aborted && !closing.signal.aborted) {
        try {
          const { message, delayMs } = comingBack(held.message, verdict);
          await call(machine, `publish again ${message.id}`, () => server.comeBack(held, message, delayMs));
          return 'ack';
        } catch {
          await pause(signal, closing.signal);
        }
      }
      return 'requeue';
    }

    async function stop(): Promise<void> {
      stopping.abort(CLOSED);
      channel?.pause(true);
      const gone = new Promise((resolve) => channel?.lost.signal.addEventListener('abort', resolve));
      while (inHand.size > 0 && channel && !channel.lost.signal.aborted) {
        await Promise.race([Promise.all(inHand), gone]);
      }
      channel?.end();
    }

    connectSoon(latencyMs(random));
    return {
      pause() {
        isPaused = true;
        channel?.pause(true);
      },
      resume() {
        isPaused = false;
        channel?.pause(false);
      },
      close() {
        closing.abort(CLOSED);
        return stop();
      },
      // What is on its way is still taken: longer than any delivery is.
      async retire() {
        channel?.pause(true);
        await sleep(RETIRE_MS, undefined, { signal: closing.signal }).catch(() => undefined);
        return stop();
      },
    };
  }

  return {
    connect: (machine) => ({
      isReady: () => time.now >= line.awayUntil,
      publish: (queue: string, message: BrokerMessage) =>
        call(machine, `publish ${message.id}`, () => server.enqueue(queue, { message, origin: queue, deliveries: 0 })),
      consume: async ({ queue, prefetch }, handler) => attach(machine, queue, prefetch, handler),
      prepare: (queues) => call(machine, `prepare ${queues.length} queues`, () => undefined),
      depth: (queue) => call(machine, 'depth', () => server.depth(queue)),
      close: async () => undefined,
    }),
    outage(ms) {
      awayUntil = Math.max(awayUntil, time.now + ms);
      line.awayUntil = Math.max(line.awayUntil, awayUntil);
      server.dropAll();
    },
    alarm(ms) {
      line.awayUntil = Math.max(line.awayUntil, time.now + ms);
    },
    cut: (machine) => server.drop(machine),
    duplicate: () => server.duplicate(),
    heal() {
      line.lossy = 0;
    },
    isEmpty: () => server.isEmpty(),
    publishedAgain: (id) => server.publishedAgain(id),
    copiesMax: (id) => server.copiesMax(id),
  };
}

async function pause(...signals: AbortSignal[]): Promise<void> {
  await sleep(PAUSE_MS, undefined, { signal: AbortSignal.any(signals) }).catch(() => undefined);
}
