import type { Channel, ConsumeMessage } from 'amqplib';

/** Whether deliveries are wanted, which outlives the links that bring them. */
export interface Flow {
  pause(): void;
  resume(): void;
  isPaused(): boolean;
  /** Says that something may have changed which decides what is consumed. */
  wake(): void;
  /** Resolves with the next `wake`. */
  woken(): Promise<void>;
}

export function createFlow(): Flow {
  let isPaused = false;
  let next = Promise.withResolvers<void>();
  const wake = () => {
    next.resolve();
    next = Promise.withResolvers();
  };
  const set = (paused: boolean) => {
    isPaused = paused;
    wake();
  };
  return {
    pause: () => set(true),
    resume: () => set(false),
    isPaused: () => isPaused,
    wake,
    woken: () => next.promise,
  };
}

export interface IntakeOptions {
  channel: Channel;
  queue: string;
  prefetch: number;
  /** Resolves when the delivery is settled. */
  take: (message: ConsumeMessage) => Promise<void>;
  /** RabbitMQ consumes no more for us: the queue was deleted. */
  onCancel: () => void;
  /** What was in hand before a pause becomes less. */
  onRoom: () => void;
}

/** What one channel consumes of a queue. */
export interface Intake {
  /** Consumes as much as there is room for. */
  open(): Promise<void>;
  /** Consumes no more. What was on its way has been taken when the promise resolves; what is in hand stays. */
  shut(): Promise<void>;
}

/**
 * RabbitMQ counts the prefetch for each consumer by itself, and no more what a cancelled one has left in hand. So after a
 * pause one consumer takes what there is room for, and a second one the rest, as soon as all from before is settled.
 */
export function createIntake(options: IntakeOptions): Intake {
  const { channel, queue, prefetch } = options;
  const tags: string[] = [];
  let allowed = 0;
  let inHand = 0;
  let since = { inHand: 0 };

  async function take(message: ConsumeMessage): Promise<void> {
    const period = since;
    inHand += 1;
    period.inHand += 1;
    await options.take(message);
    inHand -= 1;
    period.inHand -= 1;
    if (period !== since) options.onRoom();
  }

  return {
    open: async () => {
      const fromBefore = inHand - since.inHand;
      const room = prefetch - allowed - fromBefore;
      if (room <= 0 || (allowed > 0 && fromBefore > 0)) return;
      allowed += room;
      await channel.prefetch(room);
      const { consumerTag } = await channel.consume(queue, (message) => {
        if (message === null) options.onCancel();
        else void take(message);
      });
      tags.push(consumerTag);
    },
    shut: async () => {
      for (const tag of tags.splice(0)) await channel.cancel(tag);
      allowed = 0;
      since = { inHand: 0 };
    },
  };
}
