import { deflateSync } from 'node:zlib';
import { pngChunk } from '../support/png.ts';

const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** A grey PNG; `at` is the brightness of a pixel. */
export function greyPng(
  width: number,
  height: number,
  deflate: (data: Buffer) => Buffer,
  at: (x: number, y: number) => number,
): Buffer {
  const rows = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) rows[y * (width + 1) + 1 + x] = at(x, y);
  }
  return png(width, height, deflate(rows));
}

/** A black PNG of one column: some bytes for each thousand rows. */
export function tallPng(height: number): Buffer {
  return png(1, height, deflateSync(Buffer.alloc(2 * height), { level: 1 }));
}

/** What begins like a PNG and is nothing but empty comments. */
export function manyChunks(count: number): Buffer {
  return Buffer.concat([PNG_SIGNATURE, Buffer.alloc(12 * count, pngChunk('tEXt', Buffer.alloc(0)))]);
}

/** A JPEG whose one scan is of bytes that look like markers, and are none. */
export function manyEscapes(count: number): Buffer {
  return Buffer.concat([Buffer.from([0xff, 0xd8, 0xff, 0xda, 0, 2]), Buffer.alloc(2 * count, Buffer.from([0xff, 0]))]);
}

/** A JPEG whose first marker is preceded by as many of the bytes that may precede one. */
export function manyFillBytes(count: number): Buffer {
  return Buffer.concat([Buffer.from([0xff, 0xd8]), Buffer.alloc(count, 0xff)]);
}

/** A PNG whose rows come in seven passes, so that all of it is kept while it is decoded. */
export function interlacedPng(width: number, height: number): Buffer {
  // Each pass has rows of its own, and a filter byte for each: more than enough bytes for all of them.
  return png(width, height, deflateSync(Buffer.alloc(2 * width * height + 8 * height), { level: 1 }), true);
}

function png(width: number, height: number, data: Buffer, interlaced = false): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 0, 0, 0, interlaced ? 1 : 0], 8);
  return Buffer.concat([
    PNG_SIGNATURE,
    pngChunk('IHDR', header),
    pngChunk('IDAT', data),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

/** As an input of a model takes it. */
export function dataUrl(file: Buffer): string {
  return `data:image/png;base64,${file.toString('base64')}`;
}
