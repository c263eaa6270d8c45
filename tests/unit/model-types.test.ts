import fc from 'fast-check';
import { assertValidSchema, type GraphQLInputObjectType, type GraphQLObjectType, type GraphQLUnionType } from 'graphql';
import { describe, expect, test } from 'vitest';
import { graphiqlTabs } from '../../src/api/graphql/graphiql/examples.ts';
import { type ApiSchema, buildApiSchema, schemaText } from '../../src/api/graphql/schema/schema.ts';
import type { ServedModel } from '../../src/models/served-model.ts';
import { DATATYPES, type TensorSpec } from '../../src/tensor/tensor.ts';
import { IRIS, servedModel, spec } from '../support/models.ts';

const echo = (name: string, more: Partial<ServedModel> = {}) =>
  servedModel(name, { inputs: [spec('x', 'FP32', [null])], outputs: [spec('y', 'FP32', [null])], batched: true }, more);

function fieldsOf(models: ServedModel[], type: string): Record<string, string> {
  const { schema } = buildApiSchema(models);
  assertValidSchema(schema);
  const fields = (schema.getType(type) as GraphQLInputObjectType | undefined)?.getFields() ?? {};
  return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, String(field.type)]));
}

describe('the types of a model', () => {
  test('have its own names where it has any', () => {
    expect(fieldsOf([IRIS], 'IrisPrediction')).toEqual({ label: 'String!', probabilities: 'IrisProbabilities!' });
    expect(Object.keys(fieldsOf([IRIS], 'IrisInput'))).toHaveLength(4);
  });

  test('leave out the batch, and keep every other dimension', () => {
    const model = servedModel('m', {
      inputs: [spec('image', 'UINT8', [null, 2, null, 3]), spec('id', 'UINT32', [null]), spec('on', 'BOOL', [null])],
      outputs: [spec('big', 'INT64', [null, 5]), spec('words', 'STRING', [null, null]), spec('free', 'FP32', null)],
      batched: true,
    });
    expect(fieldsOf([model], 'MInput')).toEqual({ image: '[[[Int!]!]!]!', id: 'Long!', on: 'Boolean!' });
    expect(fieldsOf([model], 'MPrediction')).toEqual({ big: '[String!]!', words: '[String!]!', free: 'Tensor!' });
  });

  test('say a predicted label as a string, whatever it is; an input of that name is what the model takes', () => {
    const model = servedModel('m', {
      inputs: [spec('label', 'FP32', [null])],
      outputs: [spec('label', 'FP32', [null]), spec('y', 'FP32', [null])],
      batched: true,
    });
    expect(fieldsOf([model], 'MInput')).toEqual({ label: 'Float!' });
    expect(fieldsOf([model], 'MPrediction')).toEqual({ label: 'String!', y: 'Float!' });
    const flat = echo('m', {
      signature: { inputs: [spec('x', 'FP32', [null])], outputs: [spec('y', 'FP32', [null, 2])], batched: true },
      names: { inputs: {}, outputs: { y: { fields: ['label', 'score'] } } },
    });
    expect(fieldsOf([flat], 'MPrediction')).toEqual({ label: 'String!', score: 'Float!' });
  });

  test('are flat where the only tensor has named elements', () => {
    const model = echo('m', {
      signature: { inputs: [spec('x', 'FP32', [null, 2])], outputs: [spec('y', 'FP32', [null, 2])], batched: true },
      names: { inputs: { x: { fields: ['a', 'b'] } }, outputs: { y: { fields: ['c d', 'e'] } } },
    });
    expect(fieldsOf([model], 'MInput')).toEqual({ a: 'Float!', b: 'Float!' });
    expect(fieldsOf([model], 'MPrediction')).toEqual({ c_d: 'Float!', e: 'Float!' });
  });

  test('are lists of objects where the elements of a last dimension have names', () => {
    const boxes = { fields: ['top', 'left'] };
    const names = { inputs: { x: boxes }, outputs: { y: boxes } };
    const model = (shape: TensorSpec['shape']) =>
      echo('m', {
        signature: { inputs: [spec('x', 'FP32', shape)], outputs: [spec('y', 'INT8', shape)], batched: false },
        names,
      });
    expect(fieldsOf([model([null, 2])], 'MInput')).toEqual({ x: '[MXInput!]!' });
    expect(fieldsOf([model([null, 2])], 'MPrediction')).toEqual({ y: '[MY!]!' });
    expect(fieldsOf([model([3, null, 2])], 'MPrediction')).toEqual({ y: '[[MY!]!]!' });
    expect(fieldsOf([model([3, null, 2])], 'MY')).toEqual({ top: 'Int!', left: 'Int!' });
  });

  test('have a field for the file of a tensor that is read from one, with a name of its own', () => {
    const picture = (...tensors: string[]) => {
      const inputs = tensors.map((tensor) => spec(tensor, 'FP32', [3, 8, 8]));
      const names = { inputs: Object.fromEntries(tensors.map((tensor) => [tensor, { image: {} }])), outputs: {} };
      return echo('m', { signature: { inputs, outputs: [spec('y', 'FP32', [1])], batched: false }, names });
    };
    const rows = '[[[Float!]!]!]';
    expect(fieldsOf([picture('x')], 'MInput')).toEqual({ x: rows, image: 'Image' });
    expect(fieldsOf([picture('image')], 'MInput')).toEqual({ image: rows, imageFile: 'Image' });
    expect(fieldsOf([picture('a', 'b')], 'MInput')).toEqual({ a: rows, aImage: 'Image', b: rows, bImage: 'Image' });
    const fields = Object.keys(fieldsOf([picture('a', 'aImage')], 'MInput'));
    expect(fields.toSorted()).toEqual(['a', 'aImage', 'aImageImage', expect.stringMatching(/^aImage_\w{6}$/)]);
    const types = ([['x'], ['a', 'b']] as const).map((tensors) =>
      buildApiSchema([picture(...tensors)]).schema.getType('MInput'),
    );
    expect(types.map((type) => (type as GraphQLInputObjectType).isOneOf)).toEqual([true, false]);
  });

  test('are none where GraphQL cannot say its inputs; the tensors API is there', () => {
    const noInput = echo('none', { signature: { inputs: [], outputs: [spec('y', 'FP32', [1])], batched: false } });
    const noRank = echo('free', { signature: { inputs: [spec('x', 'FP32', null)], outputs: [], batched: false } });
    expect(Object.keys(fieldsOf([noInput, noRank], 'PredictionInput'))).toEqual(['tensors']);
    expect(Object.keys(fieldsOf([], 'PredictionInput'))).toEqual(['tensors']);
  });

  test('follow the newest version', () => {
    const old = echo('m', { version: '9' });
    const names = { inputs: { x: {} }, outputs: {} };
    const signature = { inputs: [spec('z', 'BOOL', [null])], outputs: [spec('y', 'FP32', [null])], batched: true };
    const newest = echo('m', { version: '10', signature, names });
    expect(fieldsOf([newest, old], 'MInput')).toEqual({ z: 'Boolean!' });
  });
});

describe('a model that was removed', () => {
  const named = (fields: string[]) => ({ names: { inputs: {}, outputs: { y: { fields } } } });
  const signature = { inputs: [spec('x', 'FP32', [null])], outputs: [spec('y', 'FP32', [null, 2])], batched: true };

  test('keeps its types, and its field of the input, which is deprecated', () => {
    const { schema, models } = buildApiSchema([IRIS], [echo('gone')]);
    assertValidSchema(schema);
    const inputs = (schema.getType('PredictionInput') as GraphQLInputObjectType).getFields();
    expect(inputs['gone']?.deprecationReason).toMatch(/UNKNOWN_MODEL/);
    expect(inputs['iris']?.deprecationReason).toBeUndefined();
    const union = schema.getType('Prediction') as GraphQLUnionType;
    expect(union.getTypes().map(String)).toEqual(['GonePrediction', 'IrisPrediction', 'TensorsPrediction']);
    expect(graphiqlTabs(models)[0]?.query).toContain('IrisPrediction');
    expect(graphiqlTabs(buildApiSchema([], [echo('gone')]).models)).toHaveLength(1);
  });

  test('gives its types to a model of its name that is served', () => {
    const [before, now] = [
      ['a', 'b'],
      ['c', 'd'],
    ].map((fields) => echo('m', { signature, ...named(fields) }));
    const { schema } = buildApiSchema(now ? [now] : [], before ? [before] : []);
    expect(Object.keys((schema.getType('MPrediction') as GraphQLObjectType).getFields())).toEqual(['c', 'd']);
  });

  test('takes no name away from another model, and its going renames none', () => {
    const models = ['Iris', 'iris', 'my-model', 'my_model'].map((name) => echo(name));
    const namesIn = ({ models: shown }: ApiSchema) =>
      Object.fromEntries(shown.map(({ model, field, typename }) => [model.name, [field, typename]]));
    const all = namesIn(buildApiSchema(models));
    for (const gone of models) {
      expect(
        namesIn(
          buildApiSchema(
            models.filter((model) => model !== gone),
            [gone],
          ),
        ),
      ).toEqual(all);
    }
  });

  test('or whose newest version GraphQL cannot say is shown in the newest that it can', () => {
    const untyped = { inputs: [spec('x', 'FP32', null)], outputs: [spec('y', 'FP32', [1])], batched: false };
    const models = [echo('m', { version: '3', signature: untyped }), echo('m', { version: '2' }), echo('m')];
    for (const { models: shown } of [buildApiSchema(models), buildApiSchema([], models)]) {
      expect(shown.map(({ model, typename }) => [model.version, typename])).toEqual([['2', 'MPrediction']]);
    }
  });
});

describe('names that collide', () => {
  const AWKWARD = [
    '__',
    'constructor',
    'toString',
    '__proto__',
    'prediction',
    'tensor',
    'Tensors',
    'iris',
    'Iris',
    'My Model.v2',
    'My_Model_v2',
    '3d',
    'task',
    '模型',
    '模',
    '_',
  ];

  test('all get a field and types of their own, the same whatever the order', () => {
    const models = AWKWARD.map((name) => echo(name));
    const fields = Object.keys(fieldsOf(models, 'PredictionInput'));
    expect(fields).toHaveLength(AWKWARD.length + 1);
    expect(fields).toEqual(expect.arrayContaining(['iris', 'Iris', 'My_Model_v2', '_3d', 'tensors']));
    const union = buildApiSchema(models).schema.getType('Prediction') as GraphQLUnionType;
    expect(union.getTypes()).toHaveLength(AWKWARD.length + 1);
    expect(schemaText(models.toReversed())).toBe(schemaText(models));
  });

  test('never make an invalid schema, whatever models, tensors and elements are called', () => {
    const name = fc.string({ minLength: 1, maxLength: 8, unit: 'grapheme' });
    const tensors = fc.uniqueArray(fc.record({ name, datatype: fc.constantFrom(...DATATYPES), rank: fc.nat(3) }), {
      selector: (tensor) => tensor.name,
      minLength: 1,
      maxLength: 3,
    });
    const model = fc.record({
      name,
      inputs: tensors,
      outputs: tensors,
      fields: fc.uniqueArray(name, { minLength: 1, maxLength: 3 }),
    });
    fc.assert(
      fc.property(
        fc.uniqueArray(model, { selector: (one) => one.name, maxLength: 4 }),
        fc.nat(4),
        (models, removed) => {
          const served = models.map(({ name: called, inputs, outputs, fields }) => {
            const specs = (list: typeof inputs) =>
              list.map((one) => spec(one.name, one.datatype, Array(one.rank + 1).fill(fields.length)));
            const named = (list: typeof inputs) =>
              Object.fromEntries(list.filter(({ rank }) => rank < 2).map((one) => [one.name, { fields }]));
            const signature = { inputs: specs(inputs), outputs: specs(outputs), batched: false };
            return servedModel(called, signature, { names: { inputs: named(inputs), outputs: named(outputs) } });
          });
          const { schema, models: typed } = buildApiSchema(served.slice(removed), served.slice(0, removed));
          assertValidSchema(schema);
          expect(typed).toHaveLength(served.length);
        },
      ),
      { numRuns: 200 },
    );
  });
});
