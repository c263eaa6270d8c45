import type { Submission } from '../task/task.ts';
import type { Attributes } from './tracing.ts';

/** A task, in names of our own: OpenTelemetry has none for it. */
export function taskAttributes({ id, model }: Pick<Submission, 'id' | 'model'>): Attributes {
  return { 'foretell.task.id': id, 'foretell.model.name': model.name, 'foretell.model.version': model.version };
}

/** A prediction message, as OpenTelemetry's conventions for messaging name it. */
export function messageAttributes(of: {
  operation: 'publish' | 'process';
  queue: string;
  exchange: string;
  message: { id: string; body: Uint8Array };
}): Attributes {
  const { operation, queue, exchange, message } = of;
  return {
    'messaging.system': 'rabbitmq',
    'messaging.operation.name': operation,
    'messaging.operation.type': operation === 'publish' ? 'send' : 'process',
    // RabbitMQ's form for a name: the exchange and the routing key, and for a consumer its queue (here the same as the key).
    'messaging.destination.name': `${exchange}:${queue}`,
    'messaging.rabbitmq.destination.routing_key': queue,
    'messaging.message.id': message.id,
    'messaging.message.body.size': message.body.byteLength,
  };
}
