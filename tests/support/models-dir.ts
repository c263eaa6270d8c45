import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { ModelFile } from '../../workers/inference/inference-messages.ts';
import { digestOf } from '../../workers/inference/model-file.ts';
import { type ModelFixture, writeModel } from './model-files.ts';

/** Writes a directory of models, by name; removed when the test has finished. */
export async function modelsDir(models: Record<string, ModelFixture>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'foretell-models-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  for (const [name, fixture] of Object.entries(models)) await writeModel(directory, name, fixture);
  return directory;
}

/** One ONNX file, as the pool is told of it. */
export async function modelFile(onnx: Buffer): Promise<ModelFile> {
  const file = join(await modelsDir({ m: { onnx } }), 'm', '1', 'model.onnx');
  return { file, digest: await digestOf(file) };
}
