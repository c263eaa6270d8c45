import { setTimeout as sleep } from 'node:timers/promises';
import { messagesIn } from '../../src/broker/amqp/bundles/amqp-bundle.ts';
import { createBundling } from '../../src/broker/amqp/bundles/amqp-bundling.ts';
import type { Broker, BrokerMessage, Consumer, Delivery, Verdict } from '../../src/broker/broker.ts';
import { type ComingBack, carriedOut } from '../../src/broker/coming-back.ts';
import { DEAD_LETTER_QUEUE, queuesOf } from '../../src/broker/topology.ts';
import { BrokerUnavailable } from '../../src/errors.ts';
import { createCaller, type Line, latencyMs, type Machine, type Setting } from './machine.ts';
import { createServerQueues, type Held, heldOf, nameOf, type ServerChannel } from './server-queues.ts';

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
        if (time.now < awayUntil || server.isHalfOpen(machine)) return connectSoon(random.integer(100, 5_000));
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
      const { signal } = lost;
      const redelivered = held.deliveries > 1;
      trace(machine.name, 'takes', nameOf(held), 'from', queue, redelivered ? 'redelivered' : '');
      const verdicts = await Promise.all(held.messages.map((message) => verdictOn(message, redelivered, signal)));
      const how = await carriedOut(held.messages, verdicts, (again) => publishAgain(held, again, signal));
      if (signal.aborted || !machine.isAlive) return;
      await new Promise<void>((resolve) => {
        time.after(latencyMs(random), () => {
          settle(held, how);
          resolve();
        });
      });
    }

    async function verdictOn(message: BrokerMessage, redelivered: boolean, signal: AbortSignal): Promise<Verdict> {
      let verdict: Verdict;
      try {
        verdict = await handler({ ...message, returnsBefore: message.returnsBefore ?? 0, redelivered, signal });
      } catch (error) {
        options.onHandlerError(error);
        await pause(signal, closing.signal);
        verdict = 'requeue';
      }
      trace(machine.name, 'verdict on', message.id, verdict);
      return verdict;
    }

    async function publishAgain(held: Held, { queue: to, message, delayMs }: ComingBack, signal: AbortSignal) {
      while (!signal.aborted && !closing.signal.aborted) {
        try {
          await call(machine, `publish again ${message.id}`, () => {
            if (to === DEAD_LETTER_QUEUE) server.deadLetterOne(held, message);
            else server.comeBack(held, message, delayMs);
          });
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
      publish: createBundling({
        publish: ({ routingKey, origin }, sent) => {
          const messages =
            'members' in sent ? messagesIn(sent).map((member) => ({ ...member, attemptsBefore: 0 })) : [sent];
          const held = heldOf(messages, origin);
          return call(machine, `publish ${nameOf(held)}`, () => server.enqueue(routingKey, held));
        },
      }),
      consume: async ({ queue, prefetch }, handler) =>
        together(queuesOf(queue).map((each) => attach(machine, each.queue, Math.ceil(prefetch / each.tasks), handler))),
      prepare: (queues) => call(machine, `prepare ${queues.length} queues`, () => undefined),
      depth: (queue) =>
        call(machine, 'depth', () =>
          queuesOf(queue).reduce((sum, each) => sum + each.tasks * server.depth(each.queue), 0),
        ),
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

/** Consumers that are used as one. */
function together(consumers: readonly Consumer[]): Consumer {
  return {
    pause: () => {
      for (const consumer of consumers) consumer.pause();
    },
    resume: () => {
      for (const consumer of consumers) consumer.resume();
    },
    close: async () => {
      await Promise.all(consumers.map((consumer) => consumer.close()));
    },
    retire: async () => {
      await Promise.all(consumers.map((consumer) => consumer.retire()));
    },
  };
}

async function pause(...signals: AbortSignal[]): Promise<void> {
  await sleep(PAUSE_MS, undefined, { signal: AbortSignal.any(signals) }).catch(() => undefined);
}
