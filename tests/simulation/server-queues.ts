import type { BrokerMessage } from '../../src/broker/broker.ts';
import { bundleQueueOf, DEAD_LETTER_QUEUE } from '../../src/broker/topology.ts';
import { addTo } from './ledger.ts';
import { latencyMs, type Machine, type Setting } from './machine.ts';

/** One copy of a message on the server. */
export interface Held {
  /** One, or the members of a bundle. */
  messages: readonly BrokerMessage[];
  /** The queue that it was first published to, and comes back to. */
  origin: string;
  /** How often it was given out. */
  deliveries: number;
  /** Of these, the one that is to come back later is on the server; this one only waits for its ack. */
  replaced: Set<string>;
}

export function heldOf(messages: readonly BrokerMessage[], origin: string): Held {
  return { messages, origin, deliveries: 0, replaced: new Set() };
}

export function nameOf({ messages }: Held): string {
  return messages.map(({ id }) => id).join(' ');
}

/** By which one consumer gets its deliveries, until it is lost. */
export interface ServerChannel {
  /** Aborts when the client notices that the channel is gone, which the server may have known for long. */
  lost: AbortController;
  settle(held: Held, verdict: 'ack' | 'requeue' | 'dead-letter'): void;
  pause(isPaused: boolean): void;
  /** Closed by its consumer: what is unsettled goes out again. */
  end(): void;
}

function bundleQueueFor({ messages, origin }: Held): string | undefined {
  return messages.length > 1 ? bundleQueueOf(origin) : undefined;
}

interface Consuming {
  machine: Machine;
  queue: string;
  prefetch: number;
  isPaused: boolean;
  take: (held: Held) => void;
}

interface Channel extends Consuming {
  isOpen: boolean;
  unacked: Set<Held>;
  lost: AbortController;
  lastArrival: number;
}

const LOST = new Error('the connection is lost');

/** The queues of a broker as its server keeps them: nothing is lost, everything comes at least once. */
export function createServerQueues({ time, random, trace }: Setting, deliveryLimit: number) {
  const queues = new Map<string, Held[]>();
  const channels: Channel[] = [];
  /** In a delay queue. */
  const delayed = new Set<Held>();
  const copies = new Map<string, { now: number; most: number }>();
  /** Until when a machine takes a connection for alive that is not: one for all its consumers. */
  const halfOpenUntil = new Map<Machine, number>();
  /** When messages were published again. */
  const publishedAgain = new Map<string, number[]>();

  function count(id: string, by: 1 | -1): void {
    const { now, most } = copies.get(id) ?? { now: 0, most: 0 };
    copies.set(id, { now: now + by, most: Math.max(most, now + by) });
  }

  function readyOf(queue: string): Held[] {
    const ready = queues.get(queue) ?? [];
    queues.set(queue, ready);
    return ready;
  }

  function enqueue(queue: string, held: Held): void {
    for (const { id } of held.messages) count(id, 1);
    readyOf(queue).push(held);
    dispatch(queue);
  }

  function dispatch(queue: string): void {
    const ready = readyOf(queue);
    const hasRoom = (channel: Channel) =>
      channel.isOpen && channel.queue === queue && !channel.isPaused && channel.unacked.size < channel.prefetch;
    for (let channel = channels.find(hasRoom); channel; channel = channels.find(hasRoom)) {
      const held = ready.shift();
      if (!held) return;
      if (held.deliveries > deliveryLimit && queue !== DEAD_LETTER_QUEUE) {
        trace('dead-lettered', nameOf(held));
        deadLetter(held);
        continue;
      }
      held.deliveries += 1;
      give(channel, held);
      // The next one goes to the next consumer.
      channels.push(...channels.splice(channels.indexOf(channel), 1));
    }
  }

  function give(channel: Channel, held: Held): void {
    channel.unacked.add(held);
    channel.lastArrival = Math.max(channel.lastArrival, time.now + latencyMs(random));
    time.after(channel.lastArrival - time.now, () => {
      if (channel.isOpen && channel.machine.isAlive) channel.take(held);
    });
  }

  function replace(original: Held, id: string): void {
    if (original.replaced.has(id)) count(id, 1);
    original.replaced.add(id);
  }

  function deadLetter(held: Held): void {
    for (const { id } of held.messages) count(id, -1);
    enqueue(DEAD_LETTER_QUEUE, heldOf(held.messages, held.origin));
  }

  /** Back to the head, in the order in which they were given out. */
  function giveBack(channel: Channel, unsettled: readonly Held[]): void {
    for (const held of unsettled) {
      channel.unacked.delete(held);
      for (const id of held.replaced) count(id, 1);
      held.replaced.clear();
    }
    readyOf(channel.queue).unshift(...unsettled);
    dispatch(channel.queue);
  }

  function close(channel: Channel, noticedAfterMs: number): void {
    if (!channel.isOpen) return;
    channel.isOpen = false;
    channels.splice(channels.indexOf(channel), 1);
    giveBack(channel, [...channel.unacked]);
    time.after(noticedAfterMs, () => channel.lost.abort(LOST));
  }

  function open(consuming: Consuming): ServerChannel {
    const lost = new AbortController();
    const channel: Channel = { ...consuming, isOpen: true, unacked: new Set(), lost, lastArrival: 0 };
    channels.push(channel);
    // A machine that vanishes is noticed at once, or after some heartbeats.
    channel.machine.onDeath(() => {
      time.after(random.chance(0.7) ? 1 : random.integer(1_000, 20_000), () => close(channel, 0));
    });
    time.after(0, () => dispatch(channel.queue));
    return {
      lost,
      settle(held, verdict) {
        if (!channel.isOpen || !channel.unacked.has(held)) return;
        if (verdict === 'requeue') return giveBack(channel, [held]);
        channel.unacked.delete(held);
        if (verdict === 'dead-letter') deadLetter(held);
        else for (const { id } of held.messages) if (!held.replaced.has(id)) count(id, -1);
        return dispatch(channel.queue);
      },
      pause(isPaused) {
        channel.isPaused = isPaused;
        dispatch(channel.queue);
      },
      end: () => close(channel, 0),
    };
  }

  return {
    enqueue,
    open,
    depth: (queue: string) => readyOf(queue).length,
    comeBack(original: Held, message: BrokerMessage, delayMs: number): void {
      const held = heldOf([message], original.origin);
      addTo(publishedAgain, message.id, time.now);
      replace(original, message.id);
      delayed.add(held);
      time.after(delayMs, () => {
        count(message.id, -1);
        delayed.delete(held);
        enqueue(held.origin, held);
      });
    },
    /** One of a bundle becomes a dead letter by itself. */
    deadLetterOne(original: Held, message: BrokerMessage): void {
      replace(original, message.id);
      deadLetter(heldOf([message], original.origin));
    },
    drop(machine: Machine): void {
      // Half-open, it may take heartbeats until the client knows.
      const noticedAfterMs = random.chance(0.5) ? random.integer(1, 20) : random.integer(100, 20_000);
      halfOpenUntil.set(machine, time.now + noticedAfterMs);
      for (const channel of channels.filter((each) => each.machine === machine)) close(channel, noticedAfterMs);
    },
    isHalfOpen: (machine: Machine) => time.now < (halfOpenUntil.get(machine) ?? 0),
    dropAll(): void {
      for (const channel of [...channels]) close(channel, random.integer(1, 20));
    },
    duplicate(): void {
      const all = [...[...queues.values()].flat(), ...channels.flatMap(({ unacked }) => [...unacked]), ...delayed];
      const held = all[random.integer(0, all.length - 1)];
      if (!held) return;
      trace('a second copy of', nameOf(held));
      enqueue(bundleQueueFor(held) ?? held.origin, heldOf(held.messages, held.origin));
    },
    isEmpty: () =>
      delayed.size === 0 &&
      [...queues.values()].every((ready) => ready.length === 0) &&
      channels.every(({ unacked }) => unacked.size === 0),
    publishedAgain: (id: string) => publishedAgain.get(id) ?? [],
    copiesMax: (id: string) => copies.get(id)?.most ?? 0,
  };
}
