import { synchronousExample } from '../src/api/graphql/graphiql/examples.ts';
import { GRAPHQL_PATH } from '../src/api/graphql/request/server.ts';
import type { ApiSchema } from '../src/api/graphql/schema/schema.ts';
import type { Config } from '../src/process/config.ts';
import { HAS_DEMO } from '../src/process/package.ts';
import { oneLine } from '../src/process/printable.ts';
import type { ModelRepository } from '../workers/repository/model-repository.ts';
import { sharingNote } from '../workers/repository/sharing-note.ts';

/** The URL that the demo uses if FORETELL_URL is not set. */
const DEMO_URL = 'http://127.0.0.1:4000/graphql';

/** Printed by `foretell serve` once it serves: the models, where tasks are kept, and what to try next. */
export function banner(started: { config: Config; url: string; api: ApiSchema; repository: ModelRepository }): string {
  const { config, url, api, repository } = started;
  const endpoint = url + GRAPHQL_PATH;
  const models = repository.models().map((model) => {
    const { name, version, description } = model.served;
    return `${oneLine(`  ${name} ${version}  ${description ?? ''}`).trimEnd()}\n    ${oneLine(sharingNote(model))}`;
  });
  const served = models.length > 0 ? models.join('\n') : `  none: put <name>/1/model.onnx into ${config.modelsDir}`;
  const faults = repository
    .faults()
    .map(({ message }) => `\nLeft out: ${message}`)
    .join('');
  const shipped = config.shippedModels
    ? '\n\nThese are the bundled models, because there is no folder "models" here. To serve your own, create one or set MODELS_DIR, and start again.'
    : '';
  const kept = config.embedded
    ? 'Tasks are kept in memory and lost when this process ends. Set BROKER_URL and STORE_URL to keep them.'
    : 'Tasks are kept by the servers that BROKER_URL and STORE_URL name.';
  const authorization = config.apiKeys.required ? " \\\n    -H 'authorization: Bearer <key>'" : '';
  const environment = `${endpoint === DEMO_URL ? '' : `FORETELL_URL=${endpoint} `}${config.apiKeys.required ? 'FORETELL_KEY=<key> ' : ''}`;
  const hasIris = repository.models().some(({ served: { name } }) => name === 'iris');
  const ways = [
    config.graphiql && `open ${endpoint} in a browser`,
    HAS_DEMO && hasIris && `run one hundred predictions: ${environment}npm run demo`,
  ].filter((way) => way !== false);
  return `
Foretell serves ${endpoint}

${served}${faults}${shipped}

${kept}

Try it:

  curl -s ${endpoint} -H 'content-type: application/json'${authorization} \\
    -d '${exampleBody(api)}'

${ways.length > 0 ? `Or ${ways.join(', or ')}\n\n` : ''}`;
}

/** The example as one line of JSON inside single quotes, as a shell takes it. */
function exampleBody(api: ApiSchema): string {
  const { query, variables } = synchronousExample(api.models);
  const oneLine = query.replace(/^#.*$/gm, '').replace(/\s+/g, ' ').trim();
  return JSON.stringify({ query: oneLine, variables }).replaceAll("'", "'\\''");
}
