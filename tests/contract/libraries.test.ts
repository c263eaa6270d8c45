import { once } from 'node:events';
import { createConnection, createServer, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect } from 'amqplib';
import { Redis } from 'ioredis';
import * as ort from 'onnxruntime-node';
import sharp from 'sharp';
import { expect, onTestFinished, test, vi } from 'vitest';
import { gatherWrites } from '../../src/broker/amqp/amqp-writes.ts';
import { isReplyError } from '../../src/redis/heartbeat.ts';
import { RunError } from '../../workers/inference/run-error.ts';
import { mayPass } from '../../workers/repository/model-fault.ts';
import { hoards, identity } from '../support/onnx-models.ts';
import { runProgram } from '../support/processes.ts';
import { borrowRabbitmq } from '../support/shared-rabbitmq.ts';
import { startServer } from './redis-samples.ts';

// What we rely on in libraries and in Node although no documentation promises it: a new version that fails here needs a change of ours.

test('amqplib writes by the stream of its connection, so that writes can be gathered', async () => {
  const { url } = await borrowRabbitmq();
  const model = await connect(url);
  onTestFinished(() => model.close());
  const stream: unknown = Reflect.get(model.connection, 'stream');
  if (!(stream instanceof Duplex)) throw new Error('expected a Duplex as "stream"');
  const cork = vi.spyOn(stream, 'cork');
  gatherWrites(model);
  await model.createChannel();
  expect(cork).toHaveBeenCalled();
});

test("Node's sockets tell what the kernel has taken of a write that is under way", async () => {
  const accepted = Promise.withResolvers<Socket>();
  const server = createServer(accepted.resolve);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('expected a port');
  const reader = createConnection(address.port, '127.0.0.1').pause();
  const socket = await accepted.promise;
  onTestFinished(() => {
    server.close();
    for (const one of [reader, socket]) one.destroy();
  });
  const bytes = 64 * 1024 * 1024;
  socket.write(Buffer.alloc(bytes));
  const handle = Reflect.get(socket, '_handle');
  expect(socket.bytesWritten).toBe(bytes);
  expect(handle).toMatchObject({ bytesWritten: bytes, writeQueueSize: expect.any(Number) });
  expect(handle.bytesWritten - handle.writeQueueSize).toBeLessThan(bytes);
});

test('Redis names a refusal by its first word, ioredis calls it a ReplyError, and keeps what a transaction was refused for', async () => {
  const { url } = await startServer();
  const redis = new Redis(url);
  onTestFinished(() => redis.disconnect());
  const refused: unknown = await redis.call('set', 'x').catch((error: unknown) => error);
  expect(isReplyError(refused) && refused.message).toMatch(/^ERR /);
  const transaction = redis.multi().call('set', 'x').exec();
  await expect(transaction).rejects.toMatchObject({
    name: 'ReplyError',
    message: expect.stringMatching(/^EXECABORT /),
    previousErrors: [expect.objectContaining({ message: expect.stringMatching(/^ERR /) })],
  });
});

test('ONNX Runtime says that memory is short in words that make a fault one to try again', async () => {
  const session = await ort.InferenceSession.create(hoards(), { logSeverityLevel: 4 });
  const inputs = { n: new ort.Tensor('int64', [2n ** 46n], [1]) };
  const error: unknown = await session.run(inputs).catch((reason: unknown) => reason);
  const { message } = error as Error;
  expect(mayPass(new RunError('MODEL_ERROR', message)), message).toBe(true);
});

test('ONNX Runtime still loses the bytes of float16 where the language has a Float16Array', async () => {
  const program = `
    const ort = require('onnxruntime-node');
    const x = new ort.Tensor('float16', new Uint16Array(4), [1, 4]);
    const model = Buffer.from('${identity('FP16').toString('base64')}', 'base64');
    ort.InferenceSession.create(model).then((session) => session.run({ x })).then(() => console.log('it ran'), console.log);`;
  const { stdout } = await runProgram(process.execPath, ['-e', program]);
  // Once it runs, `onnx-session.ts` need not hide Float16Array any more.
  expect(stdout).toContain('not enough space');
});

test('sharp says in these words that a picture has too many pixels, is of another format, or takes too long', async () => {
  const picture = await sharp({ create: { width: 2_000, height: 2_000, channels: 3, background: 'red' } })
    .png()
    .toBuffer();
  await expect(sharp(picture, { limitInputPixels: 10 }).toBuffer()).rejects.toThrow(/pixel limit/);
  await expect(sharp(Buffer.from('no picture')).metadata()).rejects.toThrow(/unsupported image format/);
  const slow = sharp(picture).resize(6_000, 6_000).median(9).timeout({ seconds: 1 });
  await expect(slow.toBuffer()).rejects.toThrow(/^timeout/);
});
