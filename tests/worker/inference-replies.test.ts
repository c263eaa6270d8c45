import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { InferenceChild } from '../../workers/inference/inference-child.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const MEMORY = { memoryBytes: 2 ** 30, runMemoryBytes: 2 ** 30 };

/** A program in the place of the inference process, which says this to whatever it is asked. */
async function childSaying(...replies: object[]) {
  const file = join(await temporaryDirectory(), 'program.mjs');
  const said = replies.map((reply) => `process.send(${JSON.stringify(reply)});`).join(' ');
  await writeFile(file, `process.on('message', () => { ${said} }); process.send({ type: 'ready' });`);
  const ready = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<string>();
  const noted: [message: string, fields: object][] = [];
  const events = {
    onReady: ready.resolve,
    onExit: gone.resolve,
    onNoted: (message: string, fields: object) => noted.push([message, fields]),
  };
  const child = new InferenceChild(MEMORY, events, pathToFileURL(file));
  onTestFinished(async () => {
    child.kill('the test is over');
    await gone.promise;
  });
  await ready.promise;
  return { child, noted };
}

test('a reply of a type that nobody knows is logged, and counts as no answer', async () => {
  const sessions = { loaded: 1, bytes: 2, loads: 3, evictions: 4 };
  const answer = { type: 'ran', outputs: [], runMs: 5 };
  const { child, noted } = await childSaying(
    { type: 'surprise', outputs: [], sessions: { loaded: 9 } },
    { type: 'answered', answer, sessions },
  );
  const model = { file: 'model.onnx', digest: '' };
  await expect(child.ask({ type: 'run', model, inputs: [] }, { timeoutMs: 60_000 })).resolves.toEqual(answer);
  expect(noted).toEqual([['reply of an inference process of unknown type', { type: 'surprise' }]]);
  expect(child.sessions).toEqual(sessions);
});
