import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { ModelFile } from '../../workers/inference/inference-messages.ts';
import { digestOf } from '../../workers/inference/model-file.ts';

export interface ModelFixture {
  /** What `model.json` says: text as it is, anything else as JSON. No file if absent. */
  manifest?: unknown;
  /** ONNX files by version, or the one of version 1. */
  onnx: Buffer | Record<string, Buffer>;
}

/** Writes a directory of models, by name; removed when the test has finished. */
export async function modelsDir(models: Record<string, ModelFixture>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'foretell-models-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  for (const [name, fixture] of Object.entries(models)) await writeModel(directory, name, fixture);
  return directory;
}

/** Writes a model's files, over those that are there. */
export async function writeModel(directory: string, name: string, { manifest, onnx }: ModelFixture): Promise<void> {
  const versions = Buffer.isBuffer(onnx) ? { 1: onnx } : onnx;
  await mkdir(join(directory, name), { recursive: true });
  for (const [version, content] of Object.entries(versions)) {
    await mkdir(join(directory, name, version), { recursive: true });
    await writeFile(join(directory, name, version, 'model.onnx'), content);
  }
  if (manifest === undefined) return;
  const text = typeof manifest === 'string' ? manifest : JSON.stringify(manifest);
  await writeFile(join(directory, name, 'model.json'), text);
}

/** One ONNX file, as the pool is told of it. */
export async function modelFile(onnx: Buffer): Promise<ModelFile> {
  const file = join(await modelsDir({ m: { onnx } }), 'm', '1', 'model.onnx');
  return { file, digest: await digestOf(file) };
}
