import { describe, expect, test } from 'vitest';
import type { ImageOptions } from '../../src/media/image-options.ts';
import { imagePlan } from '../../src/media/image-plan.ts';
import { manifestFaults, manifestSchema } from '../../src/models/manifest.ts';
import type { Datatype, TensorSpec } from '../../src/tensor/tensor.ts';
import { spec } from '../support/models.ts';

type Shape = TensorSpec['shape'];

function plan(options: ImageOptions, shape: Shape, datatype: Datatype = 'FP32') {
  const found = imagePlan(options, { shape, datatype });
  if (Array.isArray(found)) throw new Error(found.map(({ path, message }) => `${path}: ${message}`).join('; '));
  return found;
}

function faults(options: ImageOptions, shape: Shape, datatype: Datatype = 'FP32'): string[] {
  const found = imagePlan(options, { shape, datatype });
  return Array.isArray(found) ? found.map(({ path }) => path) : [];
}

describe('the dimensions of a picture', () => {
  test.each<[Shape, ImageOptions, object]>([
    [[28, 28], {}, { layout: 'HW', colour: 'grayscale', height: 28, width: 28, shape: [28, 28] }],
    [[1, 28, 30], {}, { layout: 'CHW', colour: 'grayscale', height: 28, width: 30, shape: [1, 28, 30] }],
    [[3, 224, 200], {}, { layout: 'CHW', colour: 'rgb', height: 224, width: 200 }],
    [[224, 200, 3], { colour: 'bgr' }, { layout: 'HWC', colour: 'bgr', height: 224, width: 200 }],
    [[1, 3, 64, 32], {}, { layout: 'CHW', height: 64, width: 32, shape: [1, 3, 64, 32] }],
    [[null, 64, 32, 3], {}, { layout: 'HWC', height: 64, width: 32, shape: [1, 64, 32, 3] }],
    [[3, null, null], { width: 8, height: 9 }, { layout: 'CHW', height: 9, width: 8, shape: [3, 9, 8] }],
    [[null, null, null], { layout: 'HWC', width: 8, height: 9 }, { colour: 'rgb', shape: [9, 8, 3] }],
    [[3, 5, 3], { layout: 'HWC' }, { height: 3, width: 5 }],
    [[1, 1], {}, { layout: 'HW', height: 1, width: 1 }],
  ])('%j with %j are read as %j', (shape, options, expected) => {
    expect(plan(options, shape)).toMatchObject(expected);
  });

  test.each<[string, ImageOptions, Shape, Datatype, string[]]>([
    ['text', {}, [28, 28], 'STRING', ['']],
    ['an unknown rank', {}, null, 'FP32', ['']],
    ['one dimension', {}, [784], 'FP32', ['']],
    ['two channels', {}, [2, 8, 8], 'FP32', ['']],
    ['channels in either place', {}, [3, 8, 3], 'FP32', ['']],
    ['a fixed batch of two', {}, [2, 3, 8, 8], 'FP32', ['']],
    ['no pixels', {}, [0, 8], 'FP32', ['']],
    ['a layout that is another', { layout: 'HWC' }, [3, 8, 8], 'FP32', ['layout']],
    ['a colour with other channels', { colour: 'grayscale' }, [3, 8, 8], 'FP32', ['colour']],
    ['sides that are free', {}, [3, null, null], 'FP32', ['height', 'width']],
    ['a side that is another', { width: 9 }, [3, 8, 8], 'FP32', ['width']],
    ['ink in colour', { ink: { box: 4 } }, [3, 8, 8], 'FP32', ['ink']],
    ['a box that is too large', { ink: { box: 9 } }, [8, 10], 'FP32', ['ink.box']],
    [
      'ink that is fitted and inverted',
      { ink: { box: 4 }, fit: 'fill', invert: true },
      [8, 8],
      'FP32',
      ['fit', 'invert'],
    ],
    ['one mean too few', { mean: [1, 2] }, [3, 8, 8], 'FP32', ['mean']],
    ['numbers that the datatype cannot hold', { mean: 1 }, [8, 8], 'UINT8', ['scale']],
  ])('%s is a fault of that option', (_what, options, shape, datatype, paths) => {
    expect(faults(options, shape, datatype)).toEqual(paths);
  });
});

test('pixels become numbers as scale, mean and std say, whole ones where the datatype is', () => {
  expect(plan({}, [8, 8]).values[0]?.[255]).toBe(1);
  expect(plan({}, [8, 8], 'UINT8').values[0]?.slice(0, 3)).toEqual([0, 1, 2]);
  expect(plan({ mean: 128 }, [8, 8], 'INT8').values[0]?.[0]).toBe(-128);
  const { values } = plan({ mean: [0.5, 0.25, 0], std: [0.5, 1, 2] }, [3, 8, 8]);
  expect(values.map((channel) => [channel[0], channel[255]])).toEqual([
    [-1, 1],
    [-0.25, 0.75],
    [0, 0.5],
  ]);
});

describe('a manifest', () => {
  const signature = {
    inputs: [spec('x', 'FP32', [null, 3, 8, 8])],
    outputs: [spec('y', 'FP32', [null, 3])],
    batched: true,
  };
  const faultsOf = (manifest: object) => manifestFaults(manifestSchema.parse(manifest), signature);

  test('says at which path its image does not fit', () => {
    expect(faultsOf({ inputs: { x: { image: {} } } })).toEqual([]);
    expect(faultsOf({ inputs: { x: { image: { width: 9 } } } })).toEqual([
      'inputs.x.image.width: 9 does not fit [3, 8, 8]',
    ]);
    expect(faultsOf({ outputs: { y: { image: {} } } })).toEqual(['outputs.y: an output is not read from a file']);
    expect(faultsOf({ inputs: { x: { image: {}, fields: ['a'] } } })).toHaveLength(2);
  });

  test.each([
    { colour: 'cmyk' },
    { background: 'white' },
    { std: 0 },
    { std: [1, 1, 1, 1] },
    { width: 0 },
    { size: 8 },
  ])('with %j is no manifest', (image) =>
    expect(manifestSchema.safeParse({ inputs: { x: { image } } }).success).toBe(false),
  );
});
