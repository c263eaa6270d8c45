import type { Broker } from './broker/broker.ts';
import { LANES, predictionQueue } from './broker/topology.ts';
import type { Config } from './config.ts';
import { createGraphQLServer, GRAPHQL_PATH, type GraphQLServer } from './graphql/server.ts';
import { corsRoute } from './http/cors.ts';
import { createGraphiql } from './http/graphiql-route.ts';
import { graphqlRoute } from './http/graphql-route.ts';
import { healthRoute } from './http/health.ts';
import { openHttpServer, type Route } from './http/http-server.ts';
import { createLoad } from './http/load.ts';
import { metricsRoute } from './http/metrics-route.ts';
import type { Log } from './log.ts';
import { defaultVersions, type ModelRegistry } from './models/registry.ts';
import { openExpirer } from './predictions/expirer.ts';
import { createPredictions } from './predictions/predictions.ts';
import type { Services } from './services.ts';

export interface Api {
  url: string;
  graphql: GraphQLServer;
  close(): Promise<void>;
}

/** The API: GraphQL and health over one HTTP server, and the deadlines of what was submitted. */
export async function openApi(config: Config, services: Services, log: Log): Promise<Api> {
  const { broker, store, deadlines, registry, metrics } = services;
  const closing = new AbortController();
  const predictions = createPredictions({ ...services, resultTtlMs: config.resultTtlMs, log });
  metrics.observe({ queueDepths: () => queueDepths(broker, registry) });
  const graphql = createGraphQLServer({ predictions, registry, settings: config, log });
  const load = createLoad(config);
  const graphiql = config.graphiql ? createGraphiql(graphql.api, log) : undefined;
  const health = () => ({ broker: broker.isReady(), store: store.isReady(), models: registry.list().length });
  const routes = [
    healthRoute(health),
    metricsRoute(metrics, log),
    corsRoute(config.corsOrigins),
    homeRoute,
    ...(graphiql ? [graphiql.files] : []),
    graphqlRoute({ graphql, graphiql, config, registry, load, closing: closing.signal }),
  ];
  const server = await openHttpServer({ host: config.host, port: config.port, routes });
  const expirer = openExpirer({ store, deadlines, metrics, log });
  return {
    url: server.url,
    graphql,
    async close() {
      // Whoever waits for a prediction is answered with the task as it is.
      closing.abort();
      await server.close();
      await expirer.close();
      graphql.close();
    },
  };
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
