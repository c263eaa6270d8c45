import sharp, { type Metadata } from 'sharp';
import { messageOf } from '../errors.ts';
import { decodableFile } from './image-file.ts';
import type { Pixels } from './image-pixels.ts';
import { type MediaAllowance, MediaFault } from './media.ts';

/** What a picture is scaled to; `inside`: as large as fits, in its own proportions. */
export interface PictureSize {
  width: number;
  height: number;
  fit: 'cover' | 'contain' | 'fill' | 'inside';
  background: string;
}

/** More than the cameras of telephones take; a few kilobytes may claim to be far more. */
const PIXELS_MAX = 50_000_000;
/** Of rows and of columns: panoramas of telephones have 16,384. A row costs time, however short it is. */
const SIDE_MAX = 16_384;
/** Twice what the slowest picture takes that these bounds let in, on a slow machine. */
const DECODE_S_MAX = 10;
/** Unpacked: 48 million pixels of four bytes. Formats that are not read row by row take as much memory. */
const UNPACKED_BYTES_MAX = 192 * 1024 * 1024;
const FORMATS = ['jpeg', 'png', 'webp', 'gif'];
const EXPECTED = 'expected a JPEG, PNG, WebP or GIF image';

// What clients send reaches the decoders of these formats alone, and of what they sent nothing is kept.
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: ['Jpeg', 'Png', 'Webp', 'Nsgif'].map((format) => `VipsForeignLoad${format}Buffer`),
});
sharp.cache(false);

/** The picture upright, in sRGB, without transparency, scaled. Rejects with a `MediaFault`. Runs in threads, off the event loop. */
export async function decodeImage(given: Uint8Array, size: PictureSize, allowance: MediaAllowance): Promise<Pixels> {
  if (given.length === 0) throw new MediaFault(`${EXPECTED}, got an empty file`);
  await allowance.turn(given.length);
  const file = decodableFile(given);
  const { width, height, fit, background } = size;
  const image = sharp(file, { failOn: 'error', limitInputPixels: PIXELS_MAX, sequentialRead: true });
  allowance.unpack(unpackedBytes(await image.metadata().catch(refuse)));
  const { data, info } = await image
    .autoOrient()
    .flatten({ background })
    .timeout({ seconds: DECODE_S_MAX })
    .resize({ width, height, fit, background })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
    .catch(refuse);
  return { width: info.width, height: info.height, data: asRgb(data, info.channels) };
}

function unpackedBytes({ format, width, height, pages = 1, channels, depth }: Metadata): number {
  if (!FORMATS.includes(format)) throw new MediaFault(`${EXPECTED}, got ${format}`);
  if (pages > 1) throw new MediaFault(`${EXPECTED} of one frame, got ${pages} frames`);
  if (width > SIDE_MAX || height > SIDE_MAX) {
    throw new MediaFault(`expected at most ${SIDE_MAX} pixels a side, got ${width} × ${height}`);
  }
  const bytes = width * height * channels * (depth === 'uchar' ? 1 : 2);
  if (width * height > PIXELS_MAX || bytes > UNPACKED_BYTES_MAX) {
    const got = `${width} × ${height} pixels, ${bytes} bytes`;
    throw new MediaFault(`expected at most ${PIXELS_MAX} pixels and ${UNPACKED_BYTES_MAX} bytes unpacked, got ${got}`);
  }
  return bytes;
}

/** What the library says of a file is about the file: there is nothing of ours in it. */
function refuse(error: unknown): never {
  const message = messageOf(error).replace(/^Input (buffer|file) (has|contains) /i, '');
  if (/pixel limit/.test(message)) throw new MediaFault(`expected at most ${PIXELS_MAX} pixels`);
  if (/^timeout/.test(message)) throw new MediaFault(`expected a picture that decodes within ${DECODE_S_MAX} s`);
  if (/unsupported image format/.test(message)) throw new MediaFault(EXPECTED);
  throw new MediaFault(`${EXPECTED}, but it cannot be read: ${message.replace(/\s*\n\s*/g, '; ')}`);
}

function asRgb(data: Uint8Array, channels: number): Uint8Array {
  if (channels === 3) return data;
  const rgb = new Uint8Array((data.length / channels) * 3);
  for (let i = 0; i < rgb.length; i += 1) {
    const pixel = Math.floor(i / 3) * channels;
    rgb[i] = data[pixel + (channels > 3 ? i % 3 : 0)] ?? 0;
  }
  return rgb;
}
