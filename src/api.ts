import type { Broker } from './broker/broker.ts';
import { LANES, predictionQueue } from './broker/topology.ts';
import type { Config } from './config.ts';
import { createGraphQLServer, GRAPHQL_PATH, type GraphQLServer } from './graphql/server.ts';
import { graphqlRoute } from './http/graphql-route.ts';
import { healthRoute } from './http/health.ts';
import { openHttpServer, type Route } from './http/http-server.ts';
import { createLoad } from './http/load.ts';
import { metricsRoute } from './http/metrics-route.ts';
import { createRefusedKeys } from './http/refused-keys.ts';
import { createStarts } from './http/starts.ts';
import { isFullRequest, requestBytesMax } from './ledger/capacity.ts';
import { BOUND_NAMES, type Ledger } from './ledger/ledger.ts';
import type { Log } from './log.ts';
import { defaultVersions, type ModelRegistry } from './models/registry.ts';
import { openExpirer } from './predictions/expirer.ts';
import { createPredictions } from './predictions/predictions.ts';
import { rareLog } from './rare-log.ts';
import type { Services } from './services.ts';
import type { StoreLevel } from './store/room.ts';

export interface Api {
  url: string;
  graphql: GraphQLServer;
  close(): Promise<void>;
}

/** The API: GraphQL and health over one HTTP server, and the deadlines of what was submitted. */
export async function openApi(config: Config, services: Services, log: Log): Promise<Api> {
  const { broker, store, room, deadlines, registry, metrics, ledger } = services;
  const closing = new AbortController();
  const predictions = createPredictions({ ...services, resultTtlMs: config.resultTtlMs, log });
  metrics.observe({
    queueDepths: () => queueDepths(broker, registry),
    storeBytes: () => room.level().bytes,
    storeLimitBytes: () => room.level().limit ?? Number.POSITIVE_INFINITY,
    bounds: () => BOUND_NAMES.map((name) => ({ name, bound: ledger[name] })),
  });
  const graphql = createGraphQLServer({ predictions, registry, settings: config, log: rareLog(log) });
  const load = createLoad(ledger);
  warnOfSmallHeap(ledger, log);
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
    homeRoute,
    graphqlRoute({
      starts,
      graphql,
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
      graphql.close();
    },
  };
}

function warnOfSmallHeap({ memoryBytes: { max } }: Ledger, log: Log): void {
  const requestBytes = requestBytesMax(max);
  if (isFullRequest(requestBytes)) return;
  const hint = 'requests may take less than usual; a larger heap: NODE_OPTIONS=--max-old-space-size=MIB';
  log.warn({ requestBytes, memoryBytes: max, hint }, 'small heap');
}

/** Said only where an owner who holds nothing finds no room: one whose own share is used up is told so, and others are not kept away. */
function fullness({ bytes, limit, isFull }: StoreLevel): string | undefined {
  return isFull ? `store full: tasks take ${bytes} bytes, and may take ${limit}` : undefined;
}

/** What waits in each lane of each model that is known. */
function queueDepths(broker: Broker, registry: ModelRegistry) {
  const lanes = defaultVersions(registry.list()).flatMap(({ name: model }) =>
    LANES.map((lane) => ({ model, lane, queue: predictionQueue(model, lane) })),
  );
  return Promise.all(lanes.map(async ({ queue, ...of }) => ({ ...of, messages: await broker.depth(queue) })));
}

/** A browser that opens the bare address finds GraphiQL. */
const homeRoute: Route = (_request, response, path) => {
  if (path !== '/') return false;
  response.writeHead(302, { location: GRAPHQL_PATH }).end();
  return true;
};
