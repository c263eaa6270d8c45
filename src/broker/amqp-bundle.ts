import type { BrokerMessage } from './broker.ts';

/** A message as RabbitMQ carries it. */
export interface AmqpMessage extends BrokerMessage {
  /** Of a bundle: the messages that travel as one. Its body is then theirs, behind each other; what else it says is nobody's. */
  members?: readonly Member[];
}

/** What a member of a bundle says by itself, beside its body. None was attempted or returned before. */
export type Member = Pick<BrokerMessage, 'id' | 'traceparent'>;

/** Before each member's body: its length, little endian. */
const LENGTH_BYTES = 4;

/** Several messages as one, which keeps them apart. */
export function bundleOf(messages: readonly BrokerMessage[]): AmqpMessage {
  const parts = messages.flatMap(({ body }) => {
    const length = Buffer.allocUnsafe(LENGTH_BYTES);
    length.writeUInt32LE(body.byteLength);
    return [length, body];
  });
  const members = messages.map(({ id, traceparent }) => ({ id, traceparent }));
  return { id: '', body: Buffer.concat(parts), attemptsBefore: 0, members };
}

/** The bodies of so many members, views of the bundle's; of a bundle that is none, they are empty, so that each member is found unreadable. */
export function bodiesIn(bundle: Buffer, count: number): Buffer[] {
  const bodies: Buffer[] = [];
  let at = 0;
  while (at + LENGTH_BYTES <= bundle.length) {
    const end = at + LENGTH_BYTES + bundle.readUInt32LE(at);
    bodies.push(bundle.subarray(at + LENGTH_BYTES, end));
    at = end;
  }
  const isWhole = at === bundle.length && bodies.length === count;
  return isWhole ? bodies : Array.from({ length: count }, () => Buffer.alloc(0));
}
