import { createServer } from 'node:http';
import { join } from 'node:path';
import { type ConsumeMessage, connect } from 'amqplib';
import { Redis } from 'ioredis';
import * as ort from 'onnxruntime-node';
import { CHANNEL, keyOf, QUEUE, settings } from './wire.ts';

/** Takes what is there, runs it as one batch in this very process, keeps the results, tells of them, acks. */
const { brokerUrl, storeUrl, port } = settings();
const BATCH_MAX = 256;
const model = join(import.meta.dirname, '../../models/iris/1/model.onnx');
const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1 });
const redis = new Redis(storeUrl);
const broker = await connect(brokerUrl);
const channel = await broker.createChannel();
await channel.assertQueue(QUEUE, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
await channel.prefetch(2 * BATCH_MAX);

let gathered: ConsumeMessage[] = [];
let busy = false;

async function run(): Promise<void> {
  busy = true;
  while (gathered.length > 0) {
    const batch = gathered.slice(0, BATCH_MAX);
    gathered = gathered.slice(BATCH_MAX);
    const tasks: { id: string; features: number[] }[] = batch.map(({ content }) => JSON.parse(content.toString()));
    const features = Float32Array.from(tasks.flatMap((task) => task.features));
    const { label, probabilities } = await session.run({ features: new ort.Tensor(features, [batch.length, 4]) });
    const results = tasks.map(({ id }, i) => {
      const own = [...((probabilities?.data ?? []) as Float32Array).subarray(3 * i, 3 * i + 3)];
      return { id, result: JSON.stringify({ id, label: String(label?.data[i]), probabilities: own }) };
    });
    const writes = redis.pipeline();
    for (const { id, result } of results) writes.hset(keyOf(id), 'state', 'SUCCEEDED', 'result', result);
    writes.publish(CHANNEL, JSON.stringify(results));
    await writes.exec();
    const last = batch.at(-1);
    if (last) channel.ack(last, true);
  }
  busy = false;
}

await channel.consume(QUEUE, (message) => {
  if (!message) return;
  gathered.push(message);
  if (!busy) setImmediate(() => busy || void run());
});
createServer((_request, response) => response.end('{}')).listen(port, '127.0.0.1');
process.once('SIGTERM', () => process.exit(0));
