import type { Message, Options } from 'amqplib';
import type { BrokerMessage } from '../broker.ts';
import { isPredictionQueue } from '../topology.ts';
import { type Bundle, messagesIn } from './bundles/amqp-bundle.ts';

/** Attempts made before: our own count, because RabbitMQ's differs from version to version. */
const ATTEMPTS_HEADER = 'x-attempts-before';

/** How often it was returned without an attempt. */
const RETURNS_HEADER = 'x-returns-before';

/** The queue that the message was first published to; it keeps it, whatever way it takes afterwards. */
const ORIGIN_HEADER = 'x-origin';

/** By the name that W3C Trace Context gives it, so that other tools see it as well. */
const TRACEPARENT_HEADER = 'traceparent';

/** Of a bundle, the ids of its members and what they give as `traceparent`, apart by spaces: neither has any. */
const MEMBERS_HEADER = 'x-members';
const TRACEPARENTS_HEADER = 'x-traceparents';

/** What is written beside the body of a message. */
export function propertiesOf(message: BrokerMessage | Bundle, origin: string): Options.Publish {
  if ('members' in message) return bundlePropertiesOf(message, origin);
  const { id, attemptsBefore, returnsBefore = 0, traceparent } = message;
  const headers = {
    // One that is not there counts as none, as with most messages.
    ...(attemptsBefore > 0 && { [ATTEMPTS_HEADER]: attemptsBefore }),
    ...(returnsBefore > 0 && { [RETURNS_HEADER]: returnsBefore }),
    [ORIGIN_HEADER]: origin,
    ...(traceparent !== undefined && { [TRACEPARENT_HEADER]: traceparent }),
  };
  return { persistent: true, messageId: id, headers };
}

function bundlePropertiesOf({ members }: Bundle, origin: string): Options.Publish {
  const isTraced = members.some(({ traceparent }) => traceparent !== undefined);
  const headers = {
    [ORIGIN_HEADER]: origin,
    [MEMBERS_HEADER]: members.map(({ id }) => id).join(' '),
    ...(isTraced && { [TRACEPARENTS_HEADER]: members.map(({ traceparent = '' }) => traceparent).join(' ') }),
  };
  return { persistent: true, headers };
}

export type ReadMessage = BrokerMessage & { returnsBefore: number };

/**
 * What is in a message, itself or the members of a bundle, and the queue that they come back to: where it does not tell, the one that it
 * was found in.
 */
export function readMessages(message: Message, queue: string): { messages: ReadMessage[]; origin: string } {
  const headers = message.properties.headers ?? {};
  const attemptsBefore = countIn(headers[ATTEMPTS_HEADER]);
  const returnsBefore = countIn(headers[RETURNS_HEADER]);
  const messages = membersIn(message).map((member) => ({ ...member, attemptsBefore, returnsBefore }));
  const origin: unknown = headers[ORIGIN_HEADER];
  return { messages, origin: typeof origin === 'string' && isPredictionQueue(origin) ? origin : queue };
}

function membersIn({ content, properties }: Message): Pick<BrokerMessage, 'id' | 'body' | 'traceparent'>[] {
  const headers = properties.headers ?? {};
  const ids: unknown = headers[MEMBERS_HEADER];
  const traceparent: unknown = headers[TRACEPARENT_HEADER];
  if (typeof ids !== 'string') {
    const own = typeof traceparent === 'string' ? traceparent : undefined;
    return [{ id: String(properties.messageId), body: content, traceparent: own }];
  }
  const traceparents = String(headers[TRACEPARENTS_HEADER] ?? '').split(' ');
  const members = ids.split(' ').map((id, i) => ({ id, traceparent: traceparents[i] || undefined }));
  return messagesIn({ members, body: content });
}

function countIn(header: unknown): number {
  return Number.isSafeInteger(header) && Number(header) > 0 ? Number(header) : 0;
}
