import { writeFile } from 'node:fs/promises';
import { schemaText } from '../src/api/graphql/schema/schema.ts';
import { readConfig } from '../src/process/config.ts';
import { createLog } from '../src/process/log.ts';
import { createInferencePool } from '../workers/inference/inference-pool.ts';
import { openModelRepository } from '../workers/repository/model-repository.ts';

/** `npm run schema`: writes schema.graphql, the API as the models in MODELS_DIR make it. */
const { modelsDir } = readConfig('start');
const log = createLog('warn', 'schema');
const pool = createInferencePool({ slots: 1, log });
const repository = await openModelRepository({ modelsDir, pool, log });
await repository.close();
await pool.close();
await writeFile('schema.graphql', schemaText(repository.models().map(({ served }) => served)));
