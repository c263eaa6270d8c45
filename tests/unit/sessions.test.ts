import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Sessions } from '../../workers/inference/sessions.ts';

const MIB = 1024 * 1024;

/** A process whose memory is reckoned, not measured: it grows by what is loaded and by what is said to leak. */
function processOf(budgetBytes: number) {
  const memory = { bytes: 70 * MIB, garbage: 0 };
  const tooLarge: string[] = [];
  const sessions = new Sessions<number>({
    budgetBytes,
    measure: (how) => memory.bytes + (how === 'quickly' ? memory.garbage : 0),
    async release(bytes) {
      memory.bytes -= bytes;
    },
  });
  const use = (model: string, bytes: number) =>
    sessions.use(model, {
      leastBytes: async () => Math.floor(bytes / 2),
      async load() {
        memory.bytes += bytes;
        return bytes;
      },
      onTooLarge: () => tooLarge.push(model),
    });
  return { memory, tooLarge, sessions, use };
}

const BUDGET = 100 * MIB;
const SIZES: Record<string, number> = { a: 10, b: 30, c: 45, d: 60, e: 99, f: 150 };

test('whatever is used in whatever order, the ones used last stay as far as they fit, and the one in use always', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(...Object.keys(SIZES)), { maxLength: 60 }), async (uses) => {
      const { memory, sessions, use } = processOf(BUDGET);
      const base = memory.bytes;
      let expected: string[] = [];
      let loads = 0;
      for (const model of uses) {
        const size = (name: string) => (SIZES[name] ?? 0) * MIB;
        const total = () => expected.reduce((sum, name) => sum + size(name), 0);
        if (!expected.includes(model)) loads += 1;
        expected = [...expected.filter((name) => name !== model), model];
        expect(await use(model, size(model))).toBe(size(model));
        await sessions.ran();
        while (expected.length > 1 && total() > BUDGET) expected.shift();
        expect(memory.bytes - base).toBe(total());
        const { loaded, bytes } = sessions.report();
        expect({ loaded, bytes }).toEqual({ loaded: expected.length, bytes: total() });
        expect(loaded === 1 || bytes <= BUDGET).toBe(true);
      }
      expect(sessions.report()).toMatchObject({ loads, evictions: loads - expected.length, worn: undefined });
    }),
  );
});

test('room is made before a model is loaded, so that both are never there at once', async () => {
  const { memory, sessions, use } = processOf(BUDGET);
  await use('first', 60 * MIB);
  await sessions.use('second', {
    leastBytes: async () => 60 * MIB,
    async load() {
      expect(memory.bytes).toBe(70 * MIB);
      return 0;
    },
    onTooLarge: () => {},
  });
  // What was freed before is used again without growing: the size of its files is what it holds at least.
  expect(sessions.report()).toMatchObject({ loaded: 1, bytes: 60 * MIB, evictions: 1 });
});

test('a model that is larger than the budget is kept, alone, and told of once for each time that it is loaded', async () => {
  const { sessions, tooLarge, use } = processOf(BUDGET);
  await use('small', MIB);
  for (let i = 0; i < 3; i += 1) await use('large', 150 * MIB);
  expect(sessions.report()).toMatchObject({ loaded: 1, bytes: 150 * MIB, loads: 2, evictions: 1 });
  expect(tooLarge).toEqual(['large']);
});

test("what its first run takes counts as the model's own, however many were loaded before that", async () => {
  const { memory, sessions, use } = processOf(BUDGET);
  await use('a', 10 * MIB);
  await use('b', 20 * MIB);
  await use('a', 10 * MIB);
  memory.bytes += 5 * MIB;
  await sessions.ran();
  expect(sessions.report().bytes).toBe(35 * MIB);
  await use('a', 10 * MIB);
  memory.bytes += 5 * MIB;
  await sessions.ran();
  expect(sessions.report().bytes).toBe(35 * MIB);
});

test('a process that grows and grows lets the others go first, and is worn when one is left that cannot have taken all', async () => {
  const { memory, sessions, use } = processOf(BUDGET);
  await use('other', 10 * MIB);
  await use('leaks', 10 * MIB);
  await sessions.ran();
  const seen: number[] = [];
  while (!sessions.report().worn && seen.length < 1_000) {
    memory.bytes += MIB;
    await sessions.ran();
    seen.push(sessions.report().loaded);
  }
  expect(seen[0]).toBe(2);
  expect(seen.at(-1)).toBe(1);
  // 10 MiB of its own, and 64 that any process may take.
  expect(seen).toHaveLength(100 - 10 + 64 + 1);
  expect(sessions.report().worn).toContain('MiB');
});

test('garbage of inputs and outputs makes no process worn, and costs no session', async () => {
  const { memory, sessions, use } = processOf(BUDGET);
  await use('a', 10 * MIB);
  await use('b', 10 * MIB);
  await sessions.ran();
  memory.garbage = 500 * MIB;
  await sessions.ran();
  expect(sessions.report()).toMatchObject({ loaded: 2, evictions: 0, worn: undefined });
});
