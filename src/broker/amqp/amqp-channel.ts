import type { Channel } from 'amqplib';
import type { Link } from './amqp-connection.ts';

/** Runs `use` on a channel of its own, whose failure is that of the call and harms nothing else. */
export async function withChannel<T>(link: Link, use: (channel: Channel) => Promise<T>): Promise<T> {
  const channel = await link.model.createChannel();
  channel.on('error', () => undefined);
  try {
    return await use(channel);
  } finally {
    // Not awaited: amqplib answers it never if the connection ends first.
    channel.close().catch(() => undefined);
  }
}

/** Gives the link up when the channel ends, unless that is wanted. */
export function dropWith(channel: Channel, link: Link, wanted?: AbortSignal): void {
  channel.on('error', link.drop);
  channel.on('close', () => {
    // A connection closes its channels before it says why it closes, in the same breath: its reason is the better one.
    queueMicrotask(() => {
      if (!wanted?.aborted) link.drop(new Error('channel closed'));
    });
  });
}

/** RabbitMQ's answer that there is nothing of that name. */
export function isNotFound(error: unknown): boolean {
  return codeOf(error) === 404;
}

/** RabbitMQ's answer that there is something of that name, but with other arguments. */
export function isPreconditionFailed(error: unknown): boolean {
  return codeOf(error) === 406;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
