import { afterAll, beforeAll } from 'vitest';
import { openBroker } from '../../src/broker/open.ts';
import { type Rabbitmq, startRabbitmq } from '../support/rabbitmq.ts';
import { brokerContract } from './broker.ts';

let rabbitmq: Rabbitmq;
beforeAll(async () => {
  rabbitmq = await startRabbitmq();
}, 120_000);
afterAll(() => rabbitmq.close());

brokerContract('memory', (log) => openBroker('memory:', log));
brokerContract('RabbitMQ', (log) => openBroker(rabbitmq.url, log));
