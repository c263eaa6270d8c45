import type { Route } from './http-server.ts';
import { sendJson } from './refusal.ts';

export interface Health {
  broker: boolean;
  store: boolean;
  /** How many models are known (API), or served (worker: none while no inference process can be started). */
  models: number;
  /** Why nobody could submit anything at present, though all is connected. */
  refuses?: string | undefined;
}

/** `/healthz`: the process runs. `/readyz`: broker and store are connected, there is a model, and tasks find room; else 503, saying what lacks. */
export function healthRoute(health: () => Health): Route {
  return (_request, response, path) => {
    if (path === '/healthz') {
      sendJson(response, 200, { status: 'ok' });
      return true;
    }
    if (path !== '/readyz') return false;
    const { broker, store, models, refuses } = health();
    const ready = broker && store && models > 0 && refuses === undefined;
    const status = ready ? 'ready' : 'not ready';
    sendJson(response, ready ? 200 : 503, { status, broker, store, models, ...(refuses && { reason: refuses }) });
    return true;
  };
}
