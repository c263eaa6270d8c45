import { buildSchema, parse } from 'graphql';
import { expect, test } from 'vitest';
import { declaredVariables } from '../../src/api/graphql/request/declared-variables.ts';
import { eventVariables } from '../../src/api/graphql/request/event-variables.ts';
import { createKnownOperations } from '../../src/api/graphql/request/known-operations.ts';
import { createLimits, type Limits } from '../../src/api/graphql/request/limits.ts';

const SCHEMA = buildSchema('type Query { a(id: ID): Int }');

/** Counts what is parsed. */
function counted() {
  const limits = createLimits({ introspection: true });
  const parsed: string[] = [];
  const counting: Limits = {
    ...limits,
    parse(source) {
      parsed.push(source);
      return limits.parse(source);
    },
  };
  return { limits: counting, parsed };
}

test('documents are kept up to a number of bytes, the newest of them', () => {
  const { limits, parsed } = counted();
  // A document of seven tokens takes 3,600 bytes.
  const operations = createKnownOperations(limits, 2 * 3_700);
  const ask = (name: string) => operations.find(`{ ${name}: a }`, undefined, SCHEMA);
  for (const name of ['b', 'c', 'b', 'c']) expect(ask(name)).toBeDefined();
  expect(parsed).toHaveLength(2);
  for (const name of ['d', 'e', 'b']) ask(name);
  expect(parsed).toEqual(['{ b: a }', '{ c: a }', '{ d: a }', '{ e: a }', '{ b: a }']);
});

test('only the variables that the operation declares are kept', () => {
  const document = parse('query A($id: ID) { a(id: $id) } query B($other: ID) { a(id: $other) }');
  const variables = { id: '1', other: '2', junk: [{}] };
  expect(declaredVariables({ document, operationName: 'A', variableValues: variables })).toEqual({ id: '1' });
  expect(declaredVariables({ document, operationName: 'B', variableValues: variables })).toEqual({ other: '2' });
  expect(declaredVariables({ document, operationName: 'A', variableValues: undefined })).toEqual({});
  const own = { id: '1' };
  expect(declaredVariables({ document, operationName: 'A', variableValues: own })).toBe(own);
});

test('the events of a subscription keep every list but those that only its own field takes', () => {
  const document = parse(`
    subscription A($ids: [ID!]!, $again: [ID!]!, $only: [Int!]!, $in: [Int!]!, $one: ID) {
      completed(ids: $ids, again: $again, one: $one) { outputs(only: $only) { ...F } again(ids: $again) }
    }
    fragment F on Output { part(in: [{ at: $in }]) }
  `);
  const variableValues = { ids: ['1', '2'], again: ['3'], only: [4], in: [5], one: '6' };
  expect(eventVariables({ document, operationName: 'A', variableValues })).toEqual({ ...variableValues, ids: [] });
  expect(eventVariables({ document, operationName: 'A', variableValues: undefined })).toEqual({});
});
