import { type Route, sendJson } from './http-server.ts';

export interface Health {
  broker: boolean;
  store: boolean;
  /** How many models are known (API), or served (worker: none while no inference process can be started). */
  models: number;
}

/** `/healthz`: the process runs. `/readyz`: broker and store are connected and there is a model; else 503, saying what lacks. */
export function healthRoute(health: () => Health): Route {
  return (_request, response, path) => {
    if (path === '/healthz') {
      sendJson(response, 200, { status: 'ok' });
      return true;
    }
    if (path !== '/readyz') return false;
    const { broker, store, models } = health();
    const ready = broker && store && models > 0;
    sendJson(response, ready ? 200 : 503, { status: ready ? 'ready' : 'not ready', broker, store, models });
    return true;
  };
}
