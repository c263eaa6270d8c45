import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

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
