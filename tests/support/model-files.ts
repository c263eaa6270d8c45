import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface ModelFixture {
  /** What `model.json` says: text as it is, anything else as JSON. No file if absent. */
  manifest?: unknown;
  /** ONNX files by version, or the one of version 1. */
  onnx: Buffer | Record<string, Buffer>;
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
