import { writeFile } from 'node:fs/promises';
import { readConfig } from '../src/config.ts';
import { schemaText } from '../src/graphql/schema.ts';
import { createLog } from '../src/log.ts';
import { createInferencePool } from './inference/inference-pool.ts';
import { openModelRepository } from './repository/model-repository.ts';

/** `npm run schema`: writes schema.graphql, the API as the models in MODELS_DIR make it. */
const { modelsDir } = readConfig('start');
const log = createLog('warn', 'schema');
const pool = createInferencePool({ slots: 1, log });
const repository = await openModelRepository({ modelsDir, pool, log });
await repository.close();
await pool.close();
await writeFile('schema.graphql', schemaText(repository.models().map(({ served }) => served)));
