import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'amqplib';
import { Redis } from 'ioredis';
import { CHANNEL, keyOf, QUEUE, settings } from './wire.ts';

/** A record, a confirmed message, an id; results pushed as they come. */
const { brokerUrl, storeUrl, port } = settings();
const redis = new Redis(storeUrl);
const subscriber = new Redis(storeUrl);
const broker = await connect(brokerUrl);
const channel = await broker.createConfirmChannel();
await channel.assertQueue(QUEUE, { durable: true, arguments: { 'x-queue-type': 'quorum' } });

const waiting = new Map<string, (result: string) => void>();
await subscriber.subscribe(CHANNEL);
subscriber.on('message', (_channel, text) => {
  for (const { id, result } of JSON.parse(text)) waiting.get(id)?.(result);
});

async function submit(flowers: number[][]): Promise<string[]> {
  const ids = flowers.map(() => randomUUID());
  const records = redis.pipeline();
  for (const id of ids) records.hset(keyOf(id), 'state', 'QUEUED').pexpire(keyOf(id), 3_600_000);
  await records.exec();
  await Promise.all(
    flowers.map(
      (features, i) =>
        new Promise<void>((resolve, reject) => {
          const body = Buffer.from(JSON.stringify({ id: ids[i], features }));
          channel.sendToQueue(QUEUE, body, { persistent: true }, (error) => (error ? reject(error) : resolve()));
        }),
    ),
  );
  return ids;
}

async function completed(ids: string[], response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write(':\n\n');
  let left = ids.length;
  const tell = (id: string, result: string) => {
    if (!waiting.delete(id)) return;
    left -= 1;
    const event = `event: next\ndata: ${result}\n\n`;
    if (left > 0) response.write(event);
    else response.end(event);
  };
  for (const id of ids) waiting.set(id, (result) => tell(id, result));
  // Listened first, then read: what ended before is told as well.
  const reads = redis.pipeline();
  for (const id of ids) reads.hget(keyOf(id), 'result');
  for (const [i, [, result]] of ((await reads.exec()) ?? []).entries()) {
    if (typeof result === 'string') tell(ids[i] ?? '', result);
  }
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let text = '';
  for await (const chunk of request) text += chunk;
  if (request.url === '/submit') response.end(JSON.stringify(await submit(JSON.parse(text))));
  else if (request.url === '/completed') await completed(JSON.parse(text), response);
  else response.end('{}');
}

createServer((request, response) => void answer(request, response)).listen(port, '127.0.0.1');
process.once('SIGTERM', () => process.exit(0));
