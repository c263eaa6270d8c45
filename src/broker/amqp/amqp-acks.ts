import type { Channel, ConsumeMessage } from 'amqplib';

/** Settles the deliveries of one channel, each once. RabbitMQ numbers them, from 1 on. */
export interface Acks {
  /** Acks a delivery, with all others of this turn of the event loop. */
  ack(message: ConsumeMessage): void;
  /** Refuses one, at once. */
  nack(message: ConsumeMessage, requeue: boolean): void;
  /** Sends what waits. */
  flush(): void;
}

/**
 * Gathers acks. What was delivered together is mostly settled together, so one ack up to the last number before which nothing is open stands for
 * all; the others are acked one by one. `onLate` is told of what came too late: the channel is gone.
 */
export function createAcks(channel: Channel, onLate: (error: unknown) => void): Acks {
  /** All deliveries up to this number are settled. */
  let through = 0;
  const beyond = new Set<number>();
  let waiting: ConsumeMessage[] = [];
  let soon: NodeJS.Immediate | undefined;

  function advance(tag: number): void {
    beyond.add(tag);
    while (beyond.delete(through + 1)) through += 1;
  }

  function flush(): void {
    clearImmediate(soon);
    soon = undefined;
    const messages = waiting;
    waiting = [];
    const isTogether = ({ fields }: ConsumeMessage) => fields.deliveryTag <= through;
    const last = messages.filter(isTogether).reduce<ConsumeMessage | undefined>(later, undefined);
    orLate(() => {
      if (last) channel.ack(last, true);
      for (const message of messages) if (!isTogether(message)) channel.ack(message);
    });
  }

  function orLate(settle: () => void): void {
    try {
      settle();
    } catch (error) {
      onLate(error);
    }
  }

  return {
    ack(message) {
      advance(message.fields.deliveryTag);
      waiting.push(message);
      soon ??= setImmediate(flush);
    },
    nack(message, requeue) {
      advance(message.fields.deliveryTag);
      orLate(() => channel.nack(message, false, requeue));
    },
    flush,
  };
}

function later(a: ConsumeMessage | undefined, b: ConsumeMessage): ConsumeMessage {
  return a && a.fields.deliveryTag > b.fields.deliveryTag ? a : b;
}
