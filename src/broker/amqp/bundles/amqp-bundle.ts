import type { BrokerMessage } from '../../broker.ts';

/** Messages that travel as one, none of which was attempted or returned before. */
export interface Bundle {
  members: readonly Pick<BrokerMessage, 'id' | 'traceparent'>[];
  /** Their bodies, behind each other. */
  body: Uint8Array;
}

/** Before each member's body: its length, little endian. */
const LENGTH_BYTES = 4;

const NO_BODY = Buffer.alloc(0);

/** Several messages as one, which keeps them apart. */
export function bundleOf(messages: readonly BrokerMessage[]): Bundle {
  const parts = messages.flatMap(({ body }) => {
    const length = Buffer.allocUnsafe(LENGTH_BYTES);
    length.writeUInt32LE(body.byteLength);
    return [length, body];
  });
  const members = messages.map(({ id, traceparent }) => ({ id, traceparent }));
  return { members, body: Buffer.concat(parts) };
}

/** What each of them says, apart again. */
export function messagesIn({ members, body }: Bundle) {
  const bodies = bodiesIn(Buffer.from(body.buffer, body.byteOffset, body.byteLength), members.length);
  return members.map((member, i) => ({ ...member, body: bodies[i] ?? NO_BODY }));
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
  return isWhole ? bodies : Array.from({ length: count }, () => NO_BODY);
}
