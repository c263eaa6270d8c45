import { createHash } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { externalFiles, requireWeightsBelow } from './onnx-weights.ts';

const CHUNK_BYTES = 1024 * 1024;

/** The SHA-256 of a file in hexadecimal, read piece by piece into one place: models may be larger than what one wants in memory twice. */
export async function digestOf(file: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  const handle = await open(file);
  try {
    let { bytesRead } = await handle.read(chunk);
    while (bytesRead > 0) {
      signal?.throwIfAborted();
      hash.update(chunk.subarray(0, bytesRead));
      ({ bytesRead } = await handle.read(chunk));
    }
    return hash.digest('hex');
  } finally {
    await handle.close();
  }
}

/** Bytes of a model's file, and of those beside it that hold its weights. Throws where weights lie elsewhere. */
export async function sizeOf(file: string): Promise<number> {
  const weights = externalFilesOf(file);
  requireWeightsBelow(weights);
  const paths = [file, ...weights.map((name) => join(dirname(file), name))];
  const sizes = await Promise.all(paths.map((path) => stat(path).then(({ size }) => size)));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** What is wrong with the file is for ONNX Runtime to say. */
function externalFilesOf(file: string): string[] {
  try {
    return externalFiles(file);
  } catch {
    return [];
  }
}
