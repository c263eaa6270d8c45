import { readFileSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import { schemaText } from '../src/api/graphql/schema/schema.ts';
import { createLog } from '../src/process/log.ts';
import { createInferencePool } from '../workers/inference/inference-pool.ts';
import { openModelRepository } from '../workers/repository/model-repository.ts';

const log = createLog('silent', 'test');
const pool = createInferencePool({ slots: 1, log });
afterAll(() => pool.close());

test('schema.graphql is what the shipped models make, in whatever order they are registered', async () => {
  const repository = await openModelRepository({ modelsDir: 'models', pool, log });
  await repository.close();
  expect(repository.faults()).toEqual([]);
  const served = repository.models().map((model) => model.served);
  const checkedIn = readFileSync('schema.graphql', 'utf8');
  expect(schemaText(served), 'run `npm run schema`').toBe(checkedIn);
  expect(schemaText(served.toReversed())).toBe(checkedIn);
});
