import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InputError } from '../../src/errors.ts';
import { InputIssues } from '../../src/models/input-issues.ts';
import type { Signature } from '../../src/models/served-model.ts';
import { readTensorsInput, type TensorInput } from '../../src/models/tensors-input.ts';
import { DATATYPES, type Tensor } from '../../src/tensor/tensor.ts';
import { elementsOf } from '../../src/tensor/tensor-values.ts';
import { spec } from '../support/models.ts';

function read(signature: Signature, inputs: TensorInput[]): Tensor[] {
  const issues = new InputIssues();
  const tensors = readTensorsInput(signature, inputs, ['inputs'], issues);
  issues.refuse();
  return tensors;
}

function paths(signature: Signature, inputs: TensorInput[]): string[] {
  try {
    read(signature, inputs);
    return [];
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return error.issues.map(({ path }) => path.join('.'));
  }
}

test('base64 is what Buffer would write, whatever letter is changed, left out or too many', () => {
  const letters = fc.constantFrom('', 'A', 'B', '/', '+', '-', '_', '=', ' ', '!', 'é', 'AA');
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.nat(60), letters, (bytes, place, letter) => {
      const right = Buffer.from(bytes).toString('base64').replaceAll('=', '');
      const i = place % right.length;
      const text = right.slice(0, i) + letter + right.slice(i + 1);
      const input = { name: 'x', datatype: 'UINT8' as const, shape: [bytes.length], data: { base64: text } };
      const isWritten =
        Buffer.from(text, 'base64').toString('base64').replaceAll('=', '') === text.replace(/={1,2}$/, '');
      const fits = Buffer.from(text, 'base64').length === bytes.length;
      expect(paths(signatureOf('UINT8'), [input])).toEqual(isWritten && fits ? [] : ['inputs.0.data.base64']);
    }),
    { numRuns: 2_000 },
  );
});

const signatureOf = (datatype: Tensor['datatype']): Signature => ({
  inputs: [spec('x', datatype, null)],
  outputs: [],
  batched: false,
});
const PAIR: Signature = {
  inputs: [spec('a', 'FP32', [null, 2]), spec('b', 'INT32', [null])],
  outputs: [],
  batched: true,
};
const a: TensorInput = { name: 'a', datatype: 'FP32', shape: [1, 2], data: { floats: [1, 2] } };
const b: TensorInput = { name: 'b', datatype: 'INT32', shape: [1], data: { ints: [1] } };

describe('the tensors API', () => {
  test('takes the inputs in any order and gives them in the order of the signature', () => {
    expect(read(PAIR, [b, a]).map(({ name }) => name)).toEqual(['a', 'b']);
  });

  test.each<[string, TensorInput[], string[]]>([
    ['an input that is missing', [a], ['inputs']],
    ['an input the model has not', [a, b, { ...b, name: 'c' }], ['inputs.2.name']],
    ['an input that is given twice', [a, b, b], ['inputs.2.name']],
    ['a datatype that is not the model’s', [{ ...a, datatype: 'FP64' }, b], ['inputs.0.datatype']],
    ['a rank that does not fit', [{ ...a, shape: [2] }, b], ['inputs.0.shape']],
    ['a dimension that does not fit', [{ ...a, shape: [1, 3] }, b], ['inputs.0.shape']],
    ['a negative dimension', [{ ...a, shape: [-1, 2] }, b], ['inputs.0.shape']],
    ['too few elements', [{ ...a, data: { floats: [1] } }, b], ['inputs.0.data.floats']],
    ['a list of another kind', [{ ...a, data: { ints: [1, 2] } }, b], ['inputs.0.data']],
    ['an element out of range', [a, { ...b, data: { longs: ['2147483648'] } }], ['inputs.1.data.longs.0']],
    ['a number that FP32 cannot hold', [{ ...a, data: { floats: [1, 1e39] } }, b], ['inputs.0.data.floats.1']],
    ['base64 of another length', [{ ...a, data: { base64: 'AAAA' } }, b], ['inputs.0.data.base64']],
    ['what is no base64', [{ ...a, data: { base64: 'AAAAAAAA!AA=' } }, b], ['inputs.0.data.base64']],
  ])('refuses %s', (_what, inputs, expected) => {
    expect(paths(PAIR, inputs)).toEqual(expected);
  });

  test('refuses a megabyte of padding as fast as anything', () => {
    const data = { base64: `${'='.repeat(1_000_000)}A` };
    expect(paths(PAIR, [{ ...a, data }, b])).toEqual(['inputs.0.data.base64']);
    expect(paths(PAIR, [{ ...a, data: { base64: 'AACAPwAAAEA' } }, b])).toEqual([]);
  });

  test('reads no further than the faults it names, however many inputs there are', () => {
    const many = Array.from({ length: 100_000 }, (_, i): TensorInput => ({ ...a, name: `x${i}` }));
    expect(paths(PAIR, many)).toHaveLength(20);
    expect(paths(PAIR, [...Array<TensorInput>(100_000).fill(a), b])).toHaveLength(20);
  });

  test('refuses bytes that are neither true nor false', () => {
    const input = (base64: string): TensorInput => ({ name: 'x', datatype: 'BOOL', shape: [3], data: { base64 } });
    expect(paths(signatureOf('BOOL'), [input('AAEC')])).toEqual(['inputs.0.data.base64']);
    expect(paths(signatureOf('BOOL'), [input('AAEB')])).toEqual([]);
  });

  test('refuses text that the model would be given another instead of', () => {
    const input = (text: string): TensorInput => ({
      name: 'x',
      datatype: 'STRING',
      shape: [1],
      data: { strings: [text] },
    });
    for (const text of ['free\0money', 'half \ud800']) {
      expect(paths(signatureOf('STRING'), [input(text)])).toEqual(['inputs.0.data.strings.0']);
    }
    expect(paths(signatureOf('STRING'), [input('free money')])).toEqual([]);
  });

  test('takes a scalar, and a tensor without any element', () => {
    expect(read(signatureOf('FP32'), [{ name: 'x', datatype: 'FP32', shape: [], data: { floats: [7] } }])).toHaveLength(
      1,
    );
    expect(
      read(signatureOf('FP32'), [{ name: 'x', datatype: 'FP32', shape: [0, 3], data: { floats: [] } }]),
    ).toHaveLength(1);
  });

  test('reads the bytes of every datatype as what their elements say', () => {
    const numeric = DATATYPES.filter((datatype) => datatype !== 'STRING');
    fc.assert(
      fc.property(
        fc.constantFrom(...numeric),
        fc.array(fc.integer({ min: 0, max: 1 }), { maxLength: 9 }),
        (datatype, bits) => {
          const shape = [bits.length];
          const lists = { floats: bits, ints: bits, booleans: bits.map(Boolean) };
          const list = datatype === 'BOOL' ? 'booleans' : datatype.startsWith('FP') ? 'floats' : 'ints';
          const [fromList] = read(signatureOf(datatype), [
            { name: 'x', datatype, shape, data: { [list]: lists[list] } },
          ]);
          const bytes = Buffer.from(fromList?.data as Uint8Array).toString('base64');
          const [fromBytes] = read(signatureOf(datatype), [{ name: 'x', datatype, shape, data: { base64: bytes } }]);
          expect(fromBytes && elementsOf(fromBytes).map(Number)).toEqual(bits);
        },
      ),
    );
  });
});
