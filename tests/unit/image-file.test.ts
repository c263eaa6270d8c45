import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { imageReader } from '../../src/media/image.ts';
import { decodableFile } from '../../src/media/image-file.ts';
import { pngChunk, withSides } from '../support/png.ts';

const FLAG = await sharp(Uint8Array.from([255, 0, 0, 0, 0, 255]), { raw: { width: 2, height: 1, channels: 3 } })
  .png()
  .toBuffer();

const nothing = () => undefined;

async function read(file: Uint8Array): Promise<number[]> {
  const reader = imageReader({}, { shape: [8, 8], datatype: 'UINT8' });
  if (Array.isArray(reader)) throw new Error(JSON.stringify(reader));
  return [...(await reader.read(file, { owner: 'a', unpack: nothing, hold: nothing, turn: nothing }))];
}

describe('a picture that takes long to decode', () => {
  test.each([
    [1, 49_000_000],
    [49_000_000, 1],
    [1, 16_385],
  ])('of %i × %i pixels is refused by its sides', async (width, height) => {
    await expect(read(withSides(FLAG, width, height))).rejects.toThrow('at most 16384 pixels a side');
  });

  test('as wide as a panorama is read', async () => {
    const panorama = sharp({ create: { width: 16_384, height: 16, channels: 3, background: '#806040' } });
    expect(await read(await panorama.jpeg().toBuffer())).toHaveLength(64);
  });

  test('is read without its comments, which may be a thousand times as large', async () => {
    const file = FLAG;
    const text = Buffer.concat([Buffer.from('a\0\0'), deflateSync(Buffer.alloc(1_000_000))]);
    const bombed = Buffer.concat([
      file.subarray(0, 33),
      ...Array<Buffer>(3).fill(pngChunk('zTXt', text)),
      file.subarray(33),
    ]);
    expect(Buffer.from(decodableFile(bombed))).toEqual(file);
    expect(decodableFile(file)).toEqual(file);
    // A chunk that claims to be longer than the file.
    const cut = bombed.subarray(0, 60);
    expect(decodableFile(cut)).toEqual(file.subarray(0, 33));
    expect(await read(bombed)).toEqual(await read(file));
  });

  test('a JPEG of more scans than encoders make is refused', async () => {
    const file = await sharp(FLAG).jpeg({ progressive: true }).toBuffer();
    const last = file.subarray(file.lastIndexOf(Buffer.from([0xff, 0xda])), -2);
    const many = (count: number) =>
      Buffer.concat([file.subarray(0, -2), ...Array<Buffer>(count).fill(last), file.subarray(-2)]);
    expect(decodableFile(many(20))).toEqual(many(20));
    expect(() => decodableFile(many(40))).toThrow('at most 32 scans');
    // What a telephone appends to a picture, a film for example, is no part of it.
    const film = Buffer.concat([file, many(40)]);
    expect(decodableFile(film)).toEqual(film);
  });

  test('of very many parts is refused', async () => {
    const chunks = Array<Buffer>(60_000).fill(pngChunk('tEXt', Buffer.alloc(0)));
    await expect(read(Buffer.concat([FLAG.subarray(0, 33), ...chunks, FLAG.subarray(33)]))).rejects.toThrow(
      'at most 50000 chunks',
    );
    const fill = Buffer.concat([Buffer.from([0xff, 0xd8]), Buffer.alloc(60_000, 0xff)]);
    expect(() => decodableFile(fill)).toThrow('at most 50000 segments');
  });

  test('any bytes that begin like a picture are looked at without an error of ours', () => {
    const heads = [Buffer.from([0xff, 0xd8, 0xff]), FLAG.subarray(0, 33)];
    fc.assert(
      fc.property(fc.constantFrom(...heads), fc.uint8Array({ maxLength: 100 }), (head, rest) => {
        const file = Buffer.concat([head, rest]);
        expect(decodableFile(file).length).toBeLessThanOrEqual(file.length);
      }),
    );
  });
});
