import type { Log } from '../log.ts';
import { createAmqpBroker } from './amqp.ts';
import type { Broker } from './broker.ts';
import { createMemoryBroker } from './memory.ts';

/** `memory:` for a broker in this process; `amqp:` or `amqps:` for RabbitMQ, which need not be there yet. */
export async function openBroker(brokerUrl: string, log: Log): Promise<Broker> {
  const protocol = URL.parse(brokerUrl)?.protocol;
  if (protocol === 'memory:') return createMemoryBroker(log);
  if (protocol === 'amqp:' || protocol === 'amqps:') return createAmqpBroker(brokerUrl, log);
  // The URL itself is not told: it may hold a password.
  throw new Error(`broker URL: expected memory:, amqp: or amqps:, got ${protocol ?? 'no URL'}`);
}
