import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createLog } from '../../src/process/log.ts';
import { createInferencePool, type InferencePool } from '../../workers/inference/inference-pool.ts';
import { modelFile } from '../support/models-dir.ts';
import { FOR_EVER, identity, slow } from '../support/onnx-models.ts';
import { contents, tensor } from '../support/tensors.ts';

const log = createLog('silent', 'test');
const SOON = { timeoutMs: 60_000 };

/** A pool that this test may do anything to. */
function ownPool(slots = 1): InferencePool {
  const own = createInferencePool({ slots, log });
  onTestFinished(() => own.close());
  return own;
}

const rounds = (count: number) => [tensor('rounds', 'INT64', [BigInt(count)])];

/** Resolves when as many processes are idle; fails with the test's own time limit. */
function idle(own: InferencePool, count = 1): Promise<void> {
  if (own.idle() >= count) return Promise.resolve();
  return new Promise((resolve) => {
    const stop = own.onIdle(() => {
      if (own.idle() < count) return;
      stop();
      resolve();
    });
  });
}

describe('a process', () => {
  test('is killed and replaced when a run takes too long', async () => {
    const own = ownPool();
    const model = await modelFile(slow());
    await own.run(model, rounds(1), SOON);
    const [pid] = own.pids();
    await expect(own.run(model, rounds(FOR_EVER), { timeoutMs: 50 })).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: 'the run took longer than 50 ms',
    });
    expect(contents((await own.run(model, rounds(7), SOON)).outputs)['y']?.elements).toEqual(['7']);
    expect(own.pids()).not.toEqual([pid]);
    expect(own.restarts()).toBe(1);
  });

  test('that dies in the middle of a run takes that run along and no other', async () => {
    const own = ownPool(2);
    const model = await modelFile(slow());
    await idle(own, 2);
    const [first, second] = [own.run(model, rounds(FOR_EVER), SOON), own.run(model, rounds(300_000), SOON)];
    const [pid = 0] = own.pids();
    process.kill(pid, 'SIGKILL');
    await expect(first).rejects.toMatchObject({ code: 'WORKER_LOST', message: expect.stringContaining('SIGKILL') });
    expect(contents((await second).outputs)['y']?.elements).toEqual(['300000']);
    await idle(own, 2);
    expect(own.restarts()).toBe(1);
  });

  test('that dies while idle is replaced, and a run that waits for it succeeds', async () => {
    const own = ownPool();
    const model = await modelFile(identity('FP32', ['n']));
    await idle(own);
    const [pid = 0] = own.pids();
    process.kill(pid, 'SIGKILL');
    // A run that is asked for before anybody has noticed is lost.
    await expect.poll(() => own.restarts(), { timeout: 30_000 }).toBe(1);
    const { outputs } = await own.run(model, [tensor('x', 'FP32', [1])], SOON);
    expect(outputs).toHaveLength(1);
    expect(own.pids()).not.toContain(pid);
  });

  test('keeps its sessions: the second run of a model loads nothing', async () => {
    const own = ownPool();
    const model = await modelFile(identity('FP32', ['n']));
    await own.run(model, [tensor('x', 'FP32', [1])], SOON);
    await writeFile(model.file, 'what would not load');
    expect((await own.run(model, [tensor('x', 'FP32', [1])], SOON)).outputs).toHaveLength(1);
  });

  test('goes on through the Ctrl-C that its worker drains after', async () => {
    const own = ownPool();
    const model = await modelFile(slow());
    await own.run(model, rounds(1), SOON);
    const running = own.run(model, rounds(200_000), SOON);
    for (const pid of own.pids()) process.kill(pid, 'SIGINT');
    expect((await running).outputs).toHaveLength(1);
    expect(own.restarts()).toBe(0);
  });
});

describe('a run that nobody waits for any more', () => {
  const GONE = new Error('nobody waits');

  test('ends at once with its process, which is replaced', async () => {
    const own = ownPool();
    const model = await modelFile(slow());
    await own.run(model, rounds(1), SOON);
    const [pid] = own.pids();
    const abort = new AbortController();
    const run = own.run(model, rounds(FOR_EVER), { ...SOON, signal: abort.signal });
    abort.abort(GONE);
    await expect(run).rejects.toBe(GONE);
    expect(contents((await own.run(model, rounds(7), SOON)).outputs)['y']?.elements).toEqual(['7']);
    expect(own.pids()).not.toEqual([pid]);
    expect(own.restarts()).toBe(1);
  });

  test('gives up its place while it waits its turn, and leaves the process alone', async () => {
    const own = ownPool();
    const model = await modelFile(slow());
    const abort = new AbortController();
    const [first, second, third] = [
      own.run(model, rounds(100_000), SOON),
      own.run(model, rounds(FOR_EVER), { ...SOON, signal: abort.signal }),
      own.run(model, rounds(3), SOON),
    ];
    abort.abort(GONE);
    await expect(second).rejects.toBe(GONE);
    await expect(own.run(model, rounds(1), { ...SOON, signal: abort.signal })).rejects.toBe(GONE);
    for (const { outputs } of await Promise.all([first, third])) expect(outputs).toHaveLength(1);
    expect(own.restarts()).toBe(0);
  });

  test('but has given its result costs no process', async () => {
    const own = ownPool();
    const model = await modelFile(slow());
    const abort = new AbortController();
    await own.run(model, rounds(1), { ...SOON, signal: abort.signal });
    abort.abort(GONE);
    await own.run(model, rounds(1), SOON);
    expect(own.restarts()).toBe(0);
  });
});

test('a process that was stopped while it was idle is found out by the next run, and replaced', async () => {
  const own = ownPool();
  const model = await modelFile(slow());
  await own.run(model, rounds(1), SOON);
  for (const pid of own.pids()) process.kill(pid, 'SIGSTOP');
  await expect(own.run(model, rounds(1), SOON)).rejects.toMatchObject({ code: 'TIMEOUT' });
  expect((await own.run(model, rounds(1), SOON)).outputs).toHaveLength(1);
});

test('a process whose worker was killed does not go on for ever with its run', async () => {
  const model = await modelFile(slow());
  const script = `
    const { createInferencePool } = await import(${JSON.stringify(import.meta.resolve('../../workers/inference/inference-pool.ts'))});
    const [model, input] = [${JSON.stringify(model)}, (count) => [{
      name: 'rounds', datatype: 'INT64', shape: [1], data: new Uint8Array(BigInt64Array.of(count).buffer)
    }]];
    const pool = createInferencePool({ slots: 1, log: console });
    await pool.run(model, input(1n), { timeoutMs: 60_000 });
    void pool.run(model, input(${FOR_EVER}n), { timeoutMs: 60_000 });
    process.stdout.write(String(pool.pids()[0]));`;
  const worker = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = await once(worker.stdout, 'data');
  worker.kill('SIGKILL');
  const pid = Number(said);
  onTestFinished(() => void (isAlive(pid) && process.kill(pid, 'SIGKILL')));
  await expect.poll(() => isAlive(pid), { timeout: 30_000 }).toBe(false);
});

/** A process that has ended is still listed where nobody collects what it left. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

test('close kills what runs, refuses what waits, and leaves no process', async () => {
  const own = createInferencePool({ slots: 1, log });
  const model = await modelFile(slow());
  await own.run(model, rounds(1), SOON);
  const pids = own.pids();
  const ended = Promise.allSettled([own.run(model, rounds(FOR_EVER), SOON), own.run(model, rounds(1), SOON)]);
  await own.close();
  const codes = (await ended).map((result) => result.status === 'rejected' && result.reason.code);
  expect(codes).toEqual(['WORKER_LOST', 'WORKER_LOST']);
  for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  await expect(own.run(model, rounds(1), SOON)).rejects.toMatchObject({ code: 'WORKER_LOST' });
  await own.close();
});
