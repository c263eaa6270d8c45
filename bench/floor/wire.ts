/** What the floor's two processes agree on. Nothing of Foretell is used here: bare amqplib, ioredis and onnxruntime-node, as lean as honest code can be. */
export const QUEUE = 'floor.iris';
export const CHANNEL = 'floor:completed';

export const keyOf = (id: string) => `floor:{${id}}`;

/** `floor/*.ts` are started with these. */
export function settings(): { brokerUrl: string; storeUrl: string; port: number } {
  const { BROKER_URL = '', STORE_URL = '', PORT = '' } = process.env;
  return { brokerUrl: BROKER_URL, storeUrl: STORE_URL, port: Number(PORT) };
}
