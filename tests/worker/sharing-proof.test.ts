import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import type { Sharings } from '../../src/models/sharing.ts';
import { createMemorySharing } from '../../src/registry/memory-sharing.ts';
import { bytesOf, type Tensor, viewAs } from '../../src/tensor/tensor.ts';
import { createInferencePool, type InferencePool } from '../../workers/inference/inference-pool.ts';
import { proveSharing } from '../../workers/inference/sharing-proof.ts';
import type { LoadedModel } from '../../workers/repository/model-loading.ts';
import { openModelRepository } from '../../workers/repository/model-repository.ts';
import type { ModelFixture } from '../support/model-files.ts';
import { modelsDir } from '../support/models-dir.ts';
import { identity, quotient, slow, squares } from '../support/onnx-models.ts';
import { alarm, chance, DEPENDENT, FORBIDDEN, INDEPENDENT, lethal, sevens } from '../support/sharing-models.ts';
import { createTestLog } from '../support/test-log.ts';

const pool = createInferencePool({ slots: 2, log: createTestLog() });
afterAll(() => pool.close());

/** Models as a worker would serve them, and what its log says. */
async function load(
  fixtures: Record<string, Buffer | ModelFixture>,
  { sharings, prove = pool.prove }: { sharings?: Sharings; prove?: InferencePool['prove'] } = {},
) {
  const all = Object.entries(fixtures).map(([name, of]) => [name, Buffer.isBuffer(of) ? { onnx: of } : of] as const);
  const log = createTestLog();
  const directory = await modelsDir(Object.fromEntries(all));
  const repository = await openModelRepository({ modelsDir: directory, pool: { ...pool, prove }, sharings, log });
  await repository.close();
  expect(repository.faults()).toEqual([]);
  const named = new Map(repository.models().map((model) => [model.served.name, model]));
  const get = (name: string): LoadedModel => named.get(name) ?? expect.fail(`no model ${name}`);
  return { get, log };
}

const findings = (models: Awaited<ReturnType<typeof load>>, names: string[]) =>
  Object.fromEntries(names.map((name) => [name, models.get(name).sharing().finding]));
const all = (names: string[], finding: string) => Object.fromEntries(names.map((name) => [name, finding]));

test('models whose rows depend on each other are found out, and take a list of rows', async () => {
  const names = Object.keys(DEPENDENT);
  const models = await load(DEPENDENT);
  expect(findings(models, names)).toEqual(all(names, 'dependent'));
  for (const name of names) {
    expect(models.get(name).served).toMatchObject({ signature: { batched: false }, maxBatch: 1 });
    expect(models.get(name).shares()).toBe(false);
    expect(models.get(name).sharing().reason, name).toMatch(/^(\w+ output|Output|A run fails) .*\.$/);
  }
});

test('models whose rows are independent share runs, whatever their batch is called', async () => {
  const names = Object.keys(INDEPENDENT);
  const models = await load(INDEPENDENT);
  const reasons = names.flatMap((name) => models.get(name).sharing().reason ?? []);
  expect(reasons).toEqual([]);
  expect(findings(models, names)).toEqual(all(names, 'independent'));
  expect(models.get('tf2onnx').served).toMatchObject({ signature: { batched: true }, maxBatch: 64 });
});

test('a symbol of dimension 0 that stands in another place forbids sharing, and is named', async () => {
  const models = await load(FORBIDDEN);
  expect(models.get('graph').sharing().reason).toBe(
    '"N" is dimension 0 of output "y" and dimension 1 of input "adjacency".',
  );
  expect(models.get('similarity').served.signature.batched).toBe(false);
});

describe('what is unknown keeps the types of the structure, unshared', () => {
  const expectUnknown = (model: LoadedModel, reason: RegExp) => {
    expect(model.sharing()).toMatchObject({ finding: 'unknown', reason: expect.stringMatching(reason) });
    expect(model.served).toMatchObject({ signature: { batched: true }, maxBatch: 64 });
    expect(model.shares()).toBe(false);
  };

  test('where every probe is refused, until an example settles it', async () => {
    const sharings = createMemorySharing();
    expectUnknown(
      (await load({ m: sevens() }, { sharings })).get('m'),
      /refused .*"example" in model.json that the model accepts/,
    );
    const manifest = { example: { x: [1, 2, 3, 4, 5, 6, 7] } };
    expect((await load({ m: { onnx: sevens(), manifest } }, { sharings })).get('m').sharing()).toEqual({
      finding: 'independent',
    });
  });

  test('where all rows give one output, and where one row gives several', async () => {
    const models = await load({ alarm: alarm(), chance: chance() });
    expectUnknown(models.get('alarm'), /gave one output; an "example" in model.json with another output/);
    expectUnknown(models.get('chance'), /differs from run to run/);
  });

  test('where a probe kills its process, which is not tried again', async () => {
    const sharings = createMemorySharing();
    const before = pool.restarts();
    expectUnknown((await load({ m: lethal() }, { sharings })).get('m'), /ended its inference process/);
    expect(pool.restarts()).toBe(before + 1);
    expectUnknown((await load({ m: lethal() }, { sharings })).get('m'), /ended its inference process/);
    expect(pool.restarts()).toBe(before + 1);
  });
});

test('a finding is made once for a content, and by an execution provider', async () => {
  const sharings = createMemorySharing();
  let proofs = 0;
  const prove: InferencePool['prove'] = (...args) => {
    proofs += 1;
    return pool.prove(...args);
  };
  for (const manifest of [{}, { maxBatch: 7 }]) {
    const { get } = await load({ m: { onnx: identity('FP32'), manifest } }, { sharings, prove });
    expect(get('m').shares()).toBe(true);
  }
  expect(proofs).toBe(1);
});

test('model.json may say that dimension 0 is the batch, without a proof and with a warning, or that it is none', async () => {
  const prove = () => Promise.reject(new Error('no proof was asked for'));
  const { normalised } = DEPENDENT;
  const onnx = normalised ?? Buffer.alloc(0);
  const fixtures = { yes: { onnx, manifest: { batched: true } }, no: { onnx, manifest: { batched: false } } };
  const { get, log } = await load(fixtures, { prove });
  expect(get('yes').shares()).toBe(true);
  expect(get('yes').served).toMatchObject({ signature: { batched: true }, maxBatch: 64 });
  const warning = log.lines().find(({ message }) => message === 'tasks share a run without a proof');
  expect(warning).toMatchObject({ fields: { model: 'yes', reason: expect.stringContaining('"batched": true') } });
  expect(get('no').sharing()).toEqual({ finding: 'dependent', reason: 'model.json says "batched": false.' });
});

test('sharing that ends in use stays ended after a restart, and changes no type', async () => {
  const sharings = createMemorySharing();
  const before = (await load({ m: identity('FP32') }, { sharings })).get('m');
  const { sharingKey = '' } = before.served;
  await sharings.recordSharing(sharingKey, { finding: 'dependent', reason: 'A row differed.' });
  expect(before.shares()).toBe(false);
  const after = (await load({ m: identity('FP32') }, { sharings })).get('m');
  expect(after.fingerprint).toBe(before.fingerprint);
  expect(after.sharing()).toMatchObject({ finding: 'dependent', reason: 'A row differed.' });
});

test('models that count by their inputs, or refuse or die of some, are asked with moderate ones', async () => {
  const models = await load({ slow: slow(), squares: squares(), quotient: quotient() });
  const names = ['slow', 'squares', 'quotient'];
  expect(findings(models, names)).toEqual(all(names, 'independent'));
});

test('a manifest that lets no tasks share is the reason why they do not', async () => {
  const { get } = await load({ m: { onnx: identity('FP32'), manifest: { maxBatch: 1 } } });
  expect(get('m').unbatched()).toBe('model.json says "maxBatch": 1.');
});

describe('the experiment, with models that are functions', () => {
  const WIDTH = 3;
  const plan = {
    inputs: [{ name: 'x', datatype: 'FP32' as const, shape: [null, WIDTH] }],
    given: [],
    file: '',
    rowsMax: 64,
  };

  /** What `of` makes of all rows. */
  const runOf = (of: (rows: number[][]) => number[][]) => async (inputs: readonly Tensor[]) => {
    const [
      {
        data,
        shape: [count = 0],
      } = expect.fail(),
    ] = inputs;
    if (Array.isArray(data)) return expect.fail();
    const numbers = Array.from(viewAs('FP32', data), Number);
    const rows = Array.from({ length: count }, (_, i) => numbers.slice(i * WIDTH, (i + 1) * WIDTH));
    const results = of(rows);
    const bytes = bytesOf(Float32Array.from(results.flat()));
    return { outputs: [{ name: 'y', datatype: 'FP32' as const, shape: [results.length, WIDTH], data: bytes }] };
  };
  const weights = fc.array(fc.double({ min: 0.1, max: 4, noNaN: true }), { minLength: WIDTH, maxLength: WIDTH });
  const alone = (w: number[]) => (row: number[]) => row.map((x, i) => x * (w[i] ?? 1) + (row[(i + 1) % WIDTH] ?? 0));

  test('any function of one row is independent, however its sums are rounded', async () => {
    const rounding = fc.double({ min: -1e-6, max: 1e-6, noNaN: true });
    await fc.assert(
      fc.asyncProperty(weights, rounding, async (w, off) => {
        const run = runOf((rows) =>
          rows.map(alone(w)).map((row) => row.map((y) => y * (1 + (rows.length > 1 ? off : 0)))),
        );
        expect(await proveSharing(plan, run)).toEqual({ finding: 'independent' });
      }),
      { numRuns: 30 },
    );
  });

  test('a row whose terms cancel each other out is not taken for a mixed one', async () => {
    // The first ordinary row gives next to nothing, and its rounding is of the size of its terms.
    let first: number | undefined;
    const run = runOf((rows) =>
      rows.map(([x = 0, y = 0, z = 0]) => {
        first ??= x;
        const rounding = rows.length > 1 ? 1e-7 : 0;
        return [x - first + rounding, x - first + rounding, x === first ? rounding : y + z];
      }),
    );
    expect(await proveSharing(plan, run)).toEqual({ finding: 'independent' });
  });

  test('a function that lets any other row in is dependent, wherever that row is', async () => {
    const leak = fc.double({ min: 0.001, max: 2, noNaN: true });
    const from = fc.constantFrom<(rows: number[][], i: number) => number[] | undefined>(
      (rows, i) => rows[i + 1],
      (rows, i) => rows[i - 1],
      (rows) => rows[0],
      (rows) => rows.at(-1),
      (rows, i) => rows[(i + 2) % rows.length],
      (rows, i) => (rows.length > 8 ? rows[(i + 7) % rows.length] : rows[i]),
    );
    await fc.assert(
      fc.asyncProperty(weights, leak, from, async (w, share, other) => {
        const run = runOf((rows) =>
          rows.map((row, i) => alone(w)(row).map((y, j) => y + share * (other(rows, i)?.[j] ?? row[j] ?? 0))),
        );
        expect((await proveSharing(plan, run)).finding).toBe('dependent');
      }),
      { numRuns: 60 },
    );
  });
});
