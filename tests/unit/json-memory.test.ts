import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { countJson, memoryOfJson, REQUEST_MEMORY_BYTES_MAX } from '../../src/api/graphql/request/json-memory.ts';
import { isRecord } from '../../src/models/input-issues.ts';

const estimate = (text: string | Buffer, max = Number.MAX_SAFE_INTEGER) => memoryOfJson(Buffer.from(text), max);

/** What the rules say of a value: a list or object 128, a key or string 32 and its letters, a number 16. */
function ruled(value: unknown): number {
  if (typeof value === 'string') return 32 + value.length;
  if (Array.isArray(value)) return value.reduce((sum: number, item) => sum + ruled(item), 128);
  if (!isRecord(value)) return 16;
  return Object.entries(value).reduce((sum, [key, item]) => sum + ruled(key) + ruled(item), 128);
}

describe('what a JSON text takes once it is parsed', () => {
  test('is at least what the rules say, and exactly that for plain text without escapes', () => {
    fc.assert(
      fc.property(fc.json({ stringUnit: 'binary' }), fc.constantFrom(0, 1, 4), (json, indent) => {
        const value: unknown = JSON.parse(json);
        const written = JSON.stringify(value, null, indent);
        expect(estimate(written)).toBeGreaterThanOrEqual(ruled(value));
        if (/^[\x20-\x5b\x5d-\x7e\s]*$/.test(written)) expect(estimate(written)).toBe(ruled(value));
      }),
    );
  });

  test('is found for long strings with escapes and quotes at any place', () => {
    const piece = fc.oneof(
      fc.constantFrom('\\', '"', '\\\\"', 'é', '\n'),
      fc.nat(200).map((n) => 'a'.repeat(n)),
    );
    fc.assert(
      fc.property(fc.array(piece), fc.array(piece), (first, second) => {
        const value = [first.join(''), second.join(''), 1];
        const found = estimate(JSON.stringify(value));
        expect(found).toBeGreaterThanOrEqual(ruled(value));
        // The number and both strings were seen, no more: an end that is missed shows as a value too many or too few.
        expect(found).toBeLessThanOrEqual(128 + 16 + 64 + 2 * Buffer.byteLength(JSON.stringify(value)));
        expect(estimate(JSON.stringify([...value, {}]))).toBe(found + 128);
      }),
    );
  });

  test('is counted for text that is no JSON too, without an error', () => {
    fc.assert(
      fc.property(fc.json(), fc.uint8Array({ maxLength: 8 }), fc.nat(), fc.nat(), (json, noise, at, cut) => {
        const text = Buffer.from(json);
        const start = at % (text.length + 1);
        const mangled = Buffer.concat([text.subarray(0, start), noise, text.subarray(start, start + (cut % 100))]);
        expect(estimate(mangled)).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  test('is refused as soon as it is more than the bound', () => {
    expect(() => estimate('{},'.repeat(1_000_000), 1_280)).toThrow(/at most 1280 bytes of memory/);
    expect(estimate('[1,2,3]', 176)).toBe(176);
    expect(() => estimate('[1,2,3]', 175)).toThrow(/base64/);
  });

  test('is refused for a text of too many levels', () => {
    expect(estimate('['.repeat(500) + ']'.repeat(500))).toBe(64_000);
    expect(() => estimate('['.repeat(10_000_000))).toThrow(/500 levels/);
  });

  test('is refused for an object of too many keys, however many objects there are', () => {
    const keys = (count: number) => `{${Array.from({ length: count }, (_, i) => `"k${i}":1`).join(',')}}`;
    const wide = keys(10_000);
    expect(estimate(`[${wide},${wide},{"a":${wide},"b":1}]`)).toBeGreaterThan(10_000);
    expect(() => estimate(`{"a":{},"i":${keys(10_001)}}`)).toThrow(/at most 10000 keys/);
  });

  test('leaves room for a tensor of 32 MB in any form, and none for 64 MiB of empty objects', () => {
    const floats = Buffer.from(`[${'0.1234567,'.repeat(8_000_000)}0]`);
    const base64 = Buffer.from(`["${'A'.repeat(43_000_000)}"]`);
    for (const text of [floats, base64]) expect(estimate(text, REQUEST_MEMORY_BYTES_MAX)).toBeGreaterThan(32e6);
    const objects = Buffer.from(`[${'{},'.repeat(21_000_000)}{}]`);
    expect(() => countJson(objects, () => undefined)).toThrow(/memory/);
  });

  test('is counted before the text is parsed, unless it is small', () => {
    const taken: number[] = [];
    countJson(Buffer.from(JSON.stringify(['a'])), (bytes) => taken.push(bytes));
    countJson(Buffer.from(JSON.stringify(['a'.repeat(5_000)])), (bytes) => taken.push(bytes));
    expect(taken).toEqual([128 + 32 + 5_000]);
  });
});
