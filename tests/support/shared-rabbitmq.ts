import { inject } from 'vitest';
import { type Rabbitmq, withChannel } from './rabbitmq.ts';

/** A virtual host that nobody else uses, on a RabbitMQ that other files use as well: nobody may stop it. */
export type SharedRabbitmq = Pick<Rabbitmq, 'url' | 'withChannel'>;

export async function borrowRabbitmq(): Promise<SharedRabbitmq> {
  const response = await fetch(inject('rabbitmqLender'));
  const url = await response.text();
  if (!response.ok) throw new Error(`no RabbitMQ to share: ${url}`);
  return { url, withChannel: (use) => withChannel(url, use) };
}
