import { MediaFault, UploadedFile } from './media.ts';

/** `data:image/png;base64,` and the like; what type it says it is does not matter, the bytes tell. */
const DATA_URL = /^data:[\w.+-]*\/?[\w.+-]*(?:;[\w.+-]+=[\w.+-]*)*;base64,/i;
const HEAD_LENGTH_MAX = 200;

/** The bytes of a file that came as a data URL or beside the operation. Throws a `MediaFault` for anything else. */
export function fileBytes(value: unknown): Uint8Array {
  if (value instanceof UploadedFile) return value.bytes;
  const head = typeof value === 'string' ? DATA_URL.exec(value.slice(0, HEAD_LENGTH_MAX))?.[0] : undefined;
  if (typeof value !== 'string' || head === undefined) throw new MediaFault(EXPECTED);
  const text = value.slice(head.length);
  const unpadded = text.slice(0, text.endsWith('==') ? -2 : text.endsWith('=') ? -1 : undefined);
  const bytes = Buffer.from(unpadded, 'base64');
  // Buffer skips what is not base64, and would read a part of it.
  if (Math.floor((unpadded.length * 3) / 4) !== bytes.length)
    throw new MediaFault(`${EXPECTED}; the data is not base64`);
  return bytes;
}

const EXPECTED = 'expected a data URL such as data:image/png;base64,…, or a file of a multipart request';
