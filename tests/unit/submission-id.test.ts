import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { isTaskId, keyedTaskId } from '../../src/api/predictions/submission-id.ts';

test('an owner’s key always gives the same id, a UUID of version 8', () => {
  // Written out: another release that computed it differently would run a task twice.
  expect(keyedTaskId('ann', 'key')).toBe('95a217b0-ef8f-8dec-9e70-fa4a286aa613');
});

test('owners and keys are kept apart, however they are joined', () => {
  const pairs = [
    ['ann', 'key'],
    ['annk', 'ey'],
    ['ann","key', ''],
    ['', 'annkey'],
    ['ann', 'Key'],
    ['ann', 'key '],
    // Not characters of their own, but keys of their own.
    ['ann', '\ud800'],
    ['ann', '\ud801'],
  ] as const;
  const ids = pairs.map(([owner, key]) => keyedTaskId(owner, key));
  expect(new Set(ids).size).toBe(pairs.length);
  for (const id of ids) expect(id).toMatch(/^[\da-f]{8}-[\da-f]{4}-8[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
});

test('an id is a UUID in lower case, and nothing else is one', () => {
  for (const id of [randomUUID(), keyedTaskId('ann', 'key')]) expect(isTaskId(id)).toBe(true);
  const id = randomUUID();
  const others = [
    '',
    'x',
    id.toUpperCase().replace('4', 'A'),
    `${id} `,
    `${id}\n`,
    id.slice(1),
    `{${id}}`,
    id.replaceAll('-', ''),
  ];
  for (const other of [...others, 'A'.repeat(6_000_000)]) expect(isTaskId(other)).toBe(false);
});
