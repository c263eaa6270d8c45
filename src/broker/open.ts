import type { Log } from '../process/log.ts';
import { createAmqpBroker } from './amqp/amqp-broker.ts';
import type { Broker, BrokerObserver } from './broker.ts';
import { createMemoryBroker } from './memory/memory-broker.ts';

/** `memory:` for a broker in this process; `amqp:` or `amqps:`, one address or several, for RabbitMQ, which need not be there yet. */
export async function openBroker(brokerUrl: string, log: Log, observer?: BrokerObserver): Promise<Broker> {
  const protocol = URL.parse(brokerUrl)?.protocol;
  if (protocol === 'memory:') return createMemoryBroker(log, observer);
  if (protocol === 'amqp:' || protocol === 'amqps:') return createAmqpBroker(brokerUrl, log, observer);
  // The URL itself is not told: it may hold a password.
  throw new Error(`broker URL: expected memory:, amqp: or amqps:, got ${protocol ?? 'no URL'}`);
}
