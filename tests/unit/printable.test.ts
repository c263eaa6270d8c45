import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { oneLine, printable } from '../../src/process/printable.ts';

const text = fc.string({
  unit: fc.oneof(fc.nat({ max: 0x2fff }).map(String.fromCharCode), fc.string({ unit: 'binary' })),
});

test('no control gets through, lines stay where a text has several, and a line of JSON says the same', async () => {
  await fc.assert(
    fc.property(text, (said) => {
      expect(oneLine(said)).not.toMatch(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u);
      expect(printable(said).replace(/[\n\t]/g, '')).not.toMatch(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u);
      expect(printable(`${said}\n`)).toBe(`${printable(said)}\n`);
      expect(JSON.parse(oneLine(JSON.stringify({ said })))).toEqual({ said });
    }),
  );
});

test('what is shown can be told apart', () => {
  expect(oneLine('a\u001b[31m\u009bb\u202ec\r\nd\te — é 😀')).toBe('a\\u001b[31m\\u009bb\\u202ec\\r\\nd\\te — é 😀');
});
