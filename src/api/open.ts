import { isFullRequest, requestBytesMax } from '../ledger/capacity.ts';
import { BOUND_NAMES, type Ledger } from '../ledger/ledger.ts';
import type { Config } from '../process/config.ts';
import type { Log } from '../process/log.ts';
import { rareLog } from '../process/rare-log.ts';
import type { Services } from '../services.ts';
import type { StoreLevel } from '../store/room.ts';
import { observeDeployment } from './deployment.ts';
import { createGraphQLServer, GRAPHQL_PATH, type GraphQLServer } from './graphql/request/server.ts';
import { corsRoute } from './http/cors.ts';
import { createGraphiql } from './http/graphiql-route.ts';
import { graphqlRoute } from './http/graphql-route.ts';
import { healthRoute } from './http/health.ts';
import { openHttpServer, type Route } from './http/http-server.ts';
import { createLoad } from './http/load.ts';
import { metricsRoute } from './http/metrics-route.ts';
import { createRefusedKeys } from './http/refused-keys.ts';
import { createStarts } from './http/starts.ts';
import { openExpirer } from './predictions/expirer.ts';
import { createPredictions } from './predictions/predictions.ts';

/** Where the queue is in this process's memory, only the store counts what inputs take, and whose they are. */
const MEMORY_MESSAGE_INPUT_BYTES_MAX = 4 * 1024;

export interface Api {
  url: string;
  graphql: GraphQLServer;
  close(): Promise<void>;
}

/** The API: GraphQL and health over one HTTP server, and the deadlines of what was submitted. */
export async function openApi(config: Config, services: Services, log: Log): Promise<Api> {
  const { broker, store, room, deadlines, registry, metrics, ledger } = services;
  const closing = new AbortController();
  const messageInputBytesMax = config.storeUrl === 'memory:' ? MEMORY_MESSAGE_INPUT_BYTES_MAX : undefined;
  const predictions = createPredictions({ ...services, messageInputBytesMax, resultTtlMs: config.resultTtlMs, log });
  metrics.observe({ bounds: () => BOUND_NAMES.map((name) => ({ name, bound: ledger[name] })) });
  const deployment = observeDeployment(services);
  const graphql = createGraphQLServer({ predictions, registry, settings: config, log: rareLog(log) });
  const load = createLoad(ledger);
  warnOfSmallHeap(ledger, log);
  const graphiql = config.graphiql ? createGraphiql(graphql.api, log) : undefined;
  const starts = createStarts();
  const onRefusedKey = createRefusedKeys(log);
  const health = () => ({
    broker: broker.isReady(),
    store: store.isReady(),
    models: registry.list().length,
    refuses: fullness(room.level()),
  });
  const routes = [
    healthRoute(health),
    metricsRoute({ metrics, config, onRefusedKey, log }),
    corsRoute(config.corsOrigins),
    homeRoute,
    ...(graphiql ? [graphiql.files] : []),
    graphqlRoute({
      starts,
      graphql,
      graphiql,
      config,
      registry,
      load,
      closing: closing.signal,
      onRefusedKey,
      log: rareLog(log),
    }),
  ];
  const server = await openHttpServer({
    host: config.host,
    port: config.port,
    routes,
    connections: ledger.connections,
    onConnection: starts.accepted,
  });
  const unwatch = config.apiKeys.watch((isRevoked) =>
    server.cut(({ headers: { authorization } }) => isRevoked(authorization)),
  );
  const expirer = openExpirer({ store, deadlines, metrics, log });
  return {
    url: server.url,
    graphql,
    async close() {
      // Whoever waits for a prediction is answered with the task as it is.
      closing.abort();
      unwatch();
      await server.close();
      await expirer.close();
      await deployment.close();
      graphql.close();
    },
  };
}

function warnOfSmallHeap({ memoryBytes: { max } }: Ledger, log: Log): void {
  const requestBytes = requestBytesMax(max);
  if (isFullRequest(requestBytes)) return;
  const hint =
    'the limit for requests is lower than usual; for a larger heap, set NODE_OPTIONS=--max-old-space-size=MIB';
  log.warn({ requestBytes, memoryBytes: max, hint }, 'small heap');
}

/** Said only where an owner who holds nothing finds no room: one whose own share is used up is told so, and others are not kept away. */
function fullness({ bytes, limit, isFull }: StoreLevel): string | undefined {
  return isFull ? `store full: tasks take ${bytes} bytes of at most ${limit}` : undefined;
}

/** A browser that opens the bare address finds GraphiQL. */
const homeRoute: Route = (_request, response, path) => {
  if (path !== '/') return false;
  response.writeHead(302, { location: GRAPHQL_PATH }).end();
  return true;
};
