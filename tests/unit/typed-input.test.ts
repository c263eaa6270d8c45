import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InputError } from '../../src/errors.ts';
import { InputIssues, type Path } from '../../src/models/input-issues.ts';
import type { ServedModel } from '../../src/models/served-model.ts';
import { typedApiOf } from '../../src/models/typed-api.ts';
import { readTypedInput } from '../../src/models/typed-input.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { elementsOf } from '../../src/tensor/tensor-values.ts';
import { FLOWER, IRIS, servedModel, spec } from '../support/models.ts';

function read(model: ServedModel, input: unknown): Tensor[] {
  const issues = new InputIssues();
  const typedApi = typedApiOf(model);
  if (!typedApi) throw new Error('no typed API');
  const tensors = readTypedInput(typedApi, model.signature.batched, input, ['input'], issues);
  issues.refuse();
  return tensors;
}

function faults(model: ServedModel, input: unknown): [string, string][] {
  try {
    read(model, input);
    return [];
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return error.issues.map(({ path, message }) => [path.join('.'), message]);
  }
}

const GRID = servedModel('grid', {
  inputs: [spec('x', 'FP32', [null, 2, 3])],
  outputs: [spec('y', 'FP32', [null])],
  batched: true,
});
const POINTS = servedModel(
  'points',
  { inputs: [spec('points', 'FP32', [null, null, 2])], outputs: [spec('y', 'FP32', [null])], batched: true },
  { names: { inputs: { points: { fields: ['x', 'y'] } }, outputs: {} } },
);
const FREE = servedModel('free', {
  inputs: [spec('ids', 'INT64', [null, null])],
  outputs: [spec('y', 'FP32', [null])],
  batched: false,
});

describe('a typed input', () => {
  test('with named fields becomes one row, in the order of the manifest', () => {
    const [tensor] = read(IRIS, FLOWER);
    expect(tensor).toMatchObject({ name: 'features', datatype: 'FP32', shape: [1, 4] });
    expect(tensor && elementsOf(tensor).map((x) => Math.fround(Number(x)))).toEqual(
      [5.1, 3.5, 1.4, 0.2].map(Math.fround),
    );
  });

  test('that lacks a field, has one too many, or holds what is no number is refused with the path of each', () => {
    const { sepalLengthCm: _, ...rest } = FLOWER;
    expect(faults(IRIS, { ...rest, petalWidthCm: Number.NaN, colour: 'blue' })).toEqual([
      ['input.colour', 'unknown field; expected one of sepalLengthCm, sepalWidthCm, petalLengthCm, petalWidthCm'],
      ['input.sepalLengthCm', 'expected a finite number that FP32 can hold, got nothing'],
      ['input.petalWidthCm', 'expected a finite number that FP32 can hold, got a number'],
    ]);
    expect(faults(IRIS, { ...FLOWER, petalWidthCm: 1e39 })).toHaveLength(1);
    expect(faults(IRIS, { ...FLOWER, petalWidthCm: '1' })[0]?.[0]).toBe('input.petalWidthCm');
    expect(faults(IRIS, [1, 2, 3, 4])).toHaveLength(1);
  });

  test('with rows of a wrong length, or ragged ones, is refused with the path of the row', () => {
    expect(faults(GRID, { x: [[1, 2, 3]] })).toEqual([['input.x', 'expected a list of 2, got a list of 1']]);
    expect(
      faults(GRID, {
        x: [
          [1, 2, 3],
          [1, 2],
        ],
      }),
    ).toEqual([['input.x.1', 'expected a list of 3, got a list of 2']]);
    expect(faults(FREE, { ids: [['1', '2'], ['3']] })).toEqual([
      ['input.ids.1', 'expected a list of 2 like the rows before it, got a list of 1'],
    ]);
    expect(faults(FREE, { ids: [['1', '2'], 3] })[0]?.[0]).toBe('input.ids.1');
  });

  test('of rows with named elements is a list of objects, of any length', () => {
    const [tensor] = read(POINTS, {
      points: [
        { x: 1, y: 2 },
        { y: 4, x: 3 },
        { x: 5, y: 6 },
      ],
    });
    expect(tensor).toMatchObject({ shape: [1, 3, 2] });
    expect(tensor && elementsOf(tensor)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(read(POINTS, { points: [] })[0]?.shape).toEqual([1, 0, 2]);
    expect(faults(POINTS, { points: [{ x: 1, y: 2 }, { x: 3 }] })).toEqual([
      ['input.points.1.y', 'expected a finite number that FP32 can hold, got nothing'],
    ]);
  });

  test('of 64-bit integers is read without loss, and refused beyond them', () => {
    const [tensor] = read(FREE, { ids: [['9223372036854775807', '-9223372036854775808']] });
    expect(tensor && elementsOf(tensor)).toEqual(['9223372036854775807', '-9223372036854775808']);
    expect(faults(FREE, { ids: [['9223372036854775808']] })[0]?.[0]).toBe('input.ids.0.0');
    expect(faults(FREE, { ids: [['1.5']] })[0]?.[0]).toBe('input.ids.0.0');
  });

  test('names at most twenty faults, however many there are', () => {
    expect(faults(FREE, { ids: [Array.from({ length: 1_000 }, () => 'x')] })).toHaveLength(20);
  });

  test('of any rectangular shape keeps its shape and its elements', () => {
    const rows = fc.integer({ min: 0, max: 5 }).chain((width) =>
      fc.array(
        fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { minLength: width, maxLength: width }),
        {
          maxLength: 5,
        },
      ),
    );
    fc.assert(
      fc.property(rows, (ids) => {
        const [tensor] = read(FREE, { ids: ids.map((row) => row.map(String)) });
        expect(tensor?.shape).toEqual([ids.length, ids[0]?.length ?? 0]);
        expect(tensor && elementsOf(tensor)).toEqual(ids.flat().map(String));
      }),
    );
  });

  test('is never read as something else: any JSON either fits or is refused by path', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (input) => {
        const found = faults(GRID, input);
        for (const [path] of found) expect(path).toMatch(/^input/);
        expect(found.length).toBeGreaterThan(0);
      }),
    );
  });
});

test('paths are copied, so that a fault keeps its own', () => {
  const path: Path = ['inputs', 7];
  const issues = new InputIssues();
  const typedApi = typedApiOf(GRID);
  if (typedApi)
    readTypedInput(
      typedApi,
      true,
      {
        x: [
          ['a', 'b', 'c'],
          [1, 2, 3],
        ],
      },
      path,
      issues,
    );
  expect(issues.toError().issues.map((issue) => issue.path)).toEqual([
    ['inputs', 7, 'x', 0, 0],
    ['inputs', 7, 'x', 0, 1],
    ['inputs', 7, 'x', 0, 2],
  ]);
});
