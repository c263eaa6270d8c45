import { expect, onTestFinished, test } from 'vitest';
import { openBroker } from '../../src/broker/open.ts';
import { predictionQueue } from '../../src/broker/topology.ts';
import { slow } from '../support/onnx-models.ts';
import { startProxy } from '../support/proxy.ts';
import { borrowRabbitmq } from '../support/shared-rabbitmq.ts';
import { tensor } from '../support/tensors.ts';
import { startTestWorker } from '../support/worker.ts';

/** Each cut is over, and its redelivery there, in a fraction of the four seconds or so that the run takes. */
const ROUNDS = 4_000_000;
const CUTS = 2;

test('a task whose broker connection is lost twice while it runs is claimed once, runs once, and is acked', async () => {
  const url = new URL((await borrowRabbitmq()).url);
  const proxy = await startProxy(Number(url.port));
  onTestFinished(proxy.close);
  url.port = String(proxy.port);
  const { submissionOf, publish, ended, store, worker, broker, log } = await startTestWorker({
    models: { slow: { onnx: slow(), manifest: { maxAttempts: 2 } } },
    openBroker: (brokerLog) => openBroker(url.href, brokerLog),
  });
  const poll = <T>(read: () => T) => expect.poll(read, { timeout: 30_000, interval: 5 });
  await poll(broker.isReady).toBe(true);
  const submission = submissionOf('slow');
  const running = new Promise((resolve) => store.watch(submission.id, resolve));
  await publish(submission, [tensor('rounds', 'INT64', [BigInt(ROUNDS)])]);
  await running;

  const redeliveries = () => log.lines().filter(({ message }) => message === 'task in hand delivered again').length;
  for (let cut = 1; cut <= CUTS; cut += 1) {
    proxy.cut();
    await poll(redeliveries).toBe(cut);
  }

  expect(await ended(submission.id)).toMatchObject({ state: 'SUCCEEDED', attempts: 1 });
  expect(worker.stats()).toMatchObject({ runs: 1, tasks: 1 });
  // Acked: closing the worker gives nothing back.
  await worker.close();
  await poll(() => broker.depth(predictionQueue('slow', 'normal')).catch(() => -1)).toBe(0);
  expect(log.lines('error')).toEqual([]);
});
