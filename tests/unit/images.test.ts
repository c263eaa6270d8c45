import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { fileBytes } from '../../src/media/file-bytes.ts';
import { imageReader } from '../../src/media/image.ts';
import type { ImageOptions } from '../../src/media/image-options.ts';
import { type MediaAllowance, UploadedFile } from '../../src/media/media.ts';
import type { Datatype, TensorSpec } from '../../src/tensor/tensor.ts';
import { viewAs } from '../../src/tensor/tensor.ts';
import { withSides } from '../support/png.ts';

const EVERYTHING: MediaAllowance = {
  owner: 'a',
  unpack: () => undefined,
  hold: () => undefined,
  turn: () => undefined,
};

async function read(
  file: Uint8Array,
  options: ImageOptions,
  shape: TensorSpec['shape'],
  datatype: Exclude<Datatype, 'STRING'> = 'UINT8',
  allowance = EVERYTHING,
): Promise<number[]> {
  const reader = imageReader(options, { shape, datatype });
  if (Array.isArray(reader)) throw new Error(JSON.stringify(reader));
  return Array.from(viewAs(datatype, await reader.read(file, allowance)), Number);
}

const rgb = (width: number, height: number, data: number[]) =>
  sharp(Uint8Array.from(data), { raw: { width, height, channels: 3 } });

/** Within what scaling may differ by. */
const near = (value: number) => expect.toSatisfy((found: number) => Math.abs(found - value) < 30, `near ${value}`);
/** The first and the middle row. */
const rows = (pixels: number[], width: number) =>
  [0, Math.floor(pixels.length / width / 2) * width].map((start) => pixels.slice(start, start + width));

/** Left red, right blue. */
const FLAG = await rgb(2, 1, [255, 0, 0, 0, 0, 255]).png().toBuffer();
const PHOTOGRAPH = await sharp({ create: { width: 300, height: 200, channels: 3, background: '#806040' } })
  .jpeg()
  .toBuffer();

describe('a picture', () => {
  test('has its pixels where the model has its dimensions, in the order of its colours', async () => {
    expect(await read(FLAG, {}, [3, 1, 2])).toEqual([255, 0, 0, 0, 0, 255]);
    expect(await read(FLAG, { layout: 'HWC' }, [1, 2, 3])).toEqual([255, 0, 0, 0, 0, 255]);
    expect(await read(FLAG, { colour: 'bgr' }, [3, 1, 2])).toEqual([0, 255, 0, 0, 255, 0]);
    expect(await read(FLAG, { layout: 'HWC', colour: 'bgr' }, [1, 2, 3])).toEqual([0, 0, 255, 255, 0, 0]);
    expect(await read(FLAG, {}, [1, 2])).toEqual([76, 29]);
    expect(await read(FLAG, { invert: true }, [1, 2])).toEqual([179, 226]);
  });

  test('that has the size already comes as it is, whatever the colours and the datatype', async () => {
    const pixels = fc.uint8Array({ minLength: 12 * 3, maxLength: 12 * 3 }).map((bytes) => [...bytes]);
    const datatypes = fc.constantFrom(
      'UINT8' as const,
      'FP16' as const,
      'FP32' as const,
      'FP64' as const,
      'INT64' as const,
    );
    await fc.assert(
      fc.asyncProperty(pixels, datatypes, async (data, datatype) => {
        const png = await rgb(4, 3, data).png().toBuffer();
        expect(await read(png, { scale: 1, layout: 'HWC' }, [3, 4, 3], datatype)).toEqual(data);
      }),
      { numRuns: 30 },
    );
  });

  test('is cut, padded or stretched', async () => {
    // Twelve pixels wide, six high: a black third on the left, white, a black third on the right.
    const bars = await rgb(
      12,
      6,
      Array.from({ length: 12 * 6 * 3 }, (_, i) => (Math.floor(i / 12) % 3 === 1 ? 255 : 0)),
    )
      .png()
      .toBuffer();
    expect(await read(bars, { fit: 'fill' }, [3, 3])).toEqual([0, 255, 0, 0, 255, 0, 0, 255, 0].map(near));
    expect(await read(bars, { fit: 'cover' }, [6, 6])).toEqual(
      Array.from({ length: 36 }, (_, i) => near([0, 255, 255, 255, 255, 0][i % 6] ?? 0)),
    );
    const [above = [], middle = []] = rows(await read(bars, { fit: 'contain', background: '#0000ff' }, [12, 12]), 12);
    expect(above).toEqual(above.map(() => 29));
    expect(middle).toEqual([0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0].map(near));
  });

  test('is turned as the camera says, and shows the background where it is transparent', async () => {
    const turned = await rgb(2, 1, [255, 0, 0, 0, 0, 255]).withMetadata({ orientation: 3 }).png().toBuffer();
    expect(await read(turned, {}, [1, 2])).toEqual([29, 76]);
    const clear = await sharp({ create: { width: 2, height: 2, channels: 4, background: '#00000000' } })
      .png()
      .toBuffer();
    expect(await read(clear, {}, [2, 2])).toEqual([255, 255, 255, 255]);
    expect(await read(clear, { background: '#0000ff' }, [2, 2])).toEqual([29, 29, 29, 29]);
  });

  test.each(['jpeg', 'png', 'webp', 'gif'] as const)(
    'may be a %s, of 16 bits, without colour, or CMYK',
    async (format) => {
      const grey = { create: { width: 9, height: 9, channels: 3 as const, background: '#808080' } };
      for (const space of ['srgb', 'b-w', 'rgb16', ...(format === 'jpeg' ? ['cmyk'] : [])]) {
        const file = await sharp(grey).toColourspace(space).toFormat(format).toBuffer();
        for (const value of await read(file, {}, [2, 2])) expect(Math.abs(value - 128)).toBeLessThan(16);
      }
    },
  );
});

describe('what is no picture that can be read', () => {
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>';
  const moving = () =>
    sharp(
      Uint8Array.from({ length: 600 }, (_, i) => i % 251),
      { raw: { width: 10, height: 20, channels: 3, pageHeight: 10 } },
    );

  test.each<[string, () => Promise<Uint8Array>, RegExp]>([
    ['nothing', async () => new Uint8Array(), /empty/],
    ['text', async () => Buffer.from('hello'), /expected a JPEG, PNG, WebP or GIF image$/],
    ['an SVG, which may refer to other files', async () => Buffer.from(svg), /expected a JPEG/],
    ['a TIFF', () => sharp(FLAG).tiff().toBuffer(), /expected a JPEG/],
    ['an AVIF', () => sharp(FLAG).avif().toBuffer(), /expected a JPEG/],
    ['a picture that moves', () => moving().gif().toBuffer(), /of one frame, got 2 frames/],
    ['another that moves', () => moving().webp().toBuffer(), /of one frame, got 2 frames/],
    ['half a JPEG', async () => PHOTOGRAPH.subarray(0, PHOTOGRAPH.length / 2), /cannot be read/],
    ['half a PNG', async () => FLAG.subarray(0, FLAG.length - 30), /cannot be read/],
    [
      'a few bytes that are 10,000 by 10,000 pixels',
      async () => withSides(FLAG, 10_000, 10_000),
      /at most 50000000 pixels/,
    ],
    [
      'a few bytes that claim to be more than there are',
      async () => withSides(FLAG, 2 ** 31 - 1, 2 ** 31 - 1),
      /expected/,
    ],
  ])('%s is refused', async (_what, file, message) => {
    await expect(read(await file(), {}, [8, 8])).rejects.toThrow(message);
  });

  test('any bytes are read or refused with a sentence, never anything else', async () => {
    const cut = fc.record({ at: fc.nat(PHOTOGRAPH.length - 1), byte: fc.nat(255) });
    await fc.assert(
      fc.asyncProperty(fc.array(cut, { maxLength: 5 }), async (cuts) => {
        const file = Uint8Array.from(PHOTOGRAPH);
        for (const { at, byte } of cuts) file[at] = byte;
        const found = await read(file, {}, [2, 2]).catch((error: Error) => error.message);
        if (typeof found === 'string') expect(found).toMatch(/^expected a JPEG, PNG, WebP or GIF|^expected at most/);
        else expect(found).toHaveLength(4);
      }),
      { numRuns: 100 },
    );
  });

  test('what is too much is refused before it is unpacked', async () => {
    const counted: number[] = [];
    const refuse = (bytes: number) => {
      counted.push(bytes);
      throw new RangeError('too much');
    };
    await expect(read(PHOTOGRAPH, {}, [8, 8], 'FP32', { ...EVERYTHING, hold: refuse })).rejects.toThrow('too much');
    await expect(read(PHOTOGRAPH, {}, [8, 8], 'FP32', { ...EVERYTHING, unpack: refuse })).rejects.toThrow('too much');
    expect(counted).toEqual([8 * 8 * 4, 300 * 200 * 3]);
  });
});

describe('a data URL', () => {
  test('is its bytes, whatever type it says it is', () => {
    fc.assert(
      fc.property(
        fc.uint8Array(),
        fc.constantFrom('image/png', 'image/svg+xml', '', 'text/plain;charset=utf-8'),
        (bytes, type) => {
          const text = Buffer.from(bytes).toString('base64');
          expect([...fileBytes(`data:${type};base64,${text}`)]).toEqual([...bytes]);
        },
      ),
    );
    expect(fileBytes(new UploadedFile(FLAG))).toEqual(FLAG);
  });

  test.each([
    '',
    'iVBORw0KGgo=',
    'https://example.org/a.png',
    'file:///etc/passwd',
    'data:image/png,abc',
    'data:image/png;base64,a!b c',
    7,
    {},
    null,
  ])('%j is none', (value) => expect(() => fileBytes(value)).toThrow(/expected a data URL/));

  test('of millions of equals signs is refused at once', () => {
    expect(() => fileBytes(`data:;base64,${'='.repeat(5_000_000)}a`)).toThrow(/not base64/);
  });
});
