import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { graphqlNames } from '../../src/models/graphql-name.ts';

const nameOf = (original: string) => graphqlNames([original]).get(original);

describe('a foreign name', () => {
  test.each([
    ['iris', 'iris'],
    ['My Model.v2', 'My_Model_v2'],
    ['3d', '_3d'],
    ['__secret', '_secret'],
    ['été', 'ete'],
    ['sepal length (cm)', 'sepal_length_cm'],
    ['images:0', 'images_0'],
  ])('%s becomes %s', (original, name) => {
    expect(nameOf(original)).toBe(name);
  });

  test('that nothing is left of becomes a hash, and stays apart from others', () => {
    expect(nameOf('模型')).toMatch(/^_[0-9a-f]{6}$/);
    expect(nameOf('模型')).not.toBe(nameOf('型模'));
  });

  test('that would be another’s gets a hash; the one that is valid as it is keeps its name', () => {
    const names = graphqlNames(['a b', 'a_b', 'a.b']);
    expect(names.get('a_b')).toBe('a_b');
    expect(new Set(names.values()).size).toBe(3);
  });

  test('is valid, unique, and the same whatever the order', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.string({ minLength: 1, unit: 'grapheme' }), { minLength: 1, maxLength: 20 }),
        (originals) => {
          const names = graphqlNames(originals);
          expect(graphqlNames(originals.toReversed())).toEqual(new Map([...names].toSorted(() => 0)));
          expect(new Set(names.values()).size).toBe(originals.length);
          for (const name of names.values()) expect(name).toMatch(/^(?!__)[_A-Za-z][_0-9A-Za-z]*$/);
        },
      ),
    );
  });
});
