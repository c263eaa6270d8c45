import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { expect, onTestFinished, test } from 'vitest';
import { openHttpServer } from '../../src/api/http/http-server.ts';
import { metricsRoute } from '../../src/api/http/metrics-route.ts';
import { createRefusedKeys } from '../../src/api/http/refused-keys.ts';
import { readConfig } from '../../src/process/config.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { createTestLog, type TestLog } from '../support/test-log.ts';

async function serve(metrics: Metrics, log: TestLog, setting: { API_KEYS?: string; METRICS_KEY?: string } = {}) {
  const config = readConfig('start', setting);
  const onRefusedKey = createRefusedKeys(log);
  const routes = [metricsRoute({ metrics, config, onRefusedKey, log })];
  const server = await openHttpServer({ host: '127.0.0.1', port: 0, routes });
  onTestFinished(() => server.close());
  return server;
}

const API_KEY = 'hK2vQ9xW4mZ7pL1sR8dT5yBc';
const METRICS_KEY = 'n3G6jF0wE9uX2aV7kC5oM8qS';

test('where keys are set, metrics are given to this machine, and to METRICS_KEY from elsewhere', async () => {
  const log = createTestLog();
  /** A proxy on this machine hands on what comes from elsewhere. */
  const from = async (settings: object, headers: Record<string, string>) => {
    const server = await serve(createMetrics(), log, settings);
    // fetch sets no Host.
    const answered = once(get(`${server.url}/metrics`, { headers }), 'response');
    const [response] = (await answered) as [IncomingMessage];
    response.resume();
    return response.statusCode;
  };
  const forwarded = { 'x-forwarded-for': '203.0.113.7' };
  const bearer = (key: string) => ({ ...forwarded, authorization: `Bearer ${key}` });
  const both = { API_KEYS: `ann:${API_KEY}`, METRICS_KEY };
  expect(await from({}, forwarded)).toBe(200);
  expect(await from(both, {})).toBe(200);
  expect(await from(both, { host: 'localhost:4000' })).toBe(200);
  expect(await from(both, { host: 'foretell.example' })).toBe(401);
  for (const settings of [both, { METRICS_KEY }, { API_KEYS: `ann:${API_KEY}` }]) {
    expect(await from(settings, forwarded)).toBe(401);
    expect(await from(settings, { forwarded: 'for=203.0.113.7' })).toBe(401);
    expect(await from(settings, bearer(API_KEY))).toBe(401);
    expect(await from(settings, bearer(METRICS_KEY))).toBe('METRICS_KEY' in settings ? 200 : 401);
  }
  const [refused] = log.lines('warn');
  expect(refused).toMatchObject({ message: 'key refused', fields: { remoteAddress: '127.0.0.1', path: '/metrics' } });
  expect(JSON.stringify(log.lines())).not.toContain(API_KEY);
});

test('metrics are served at /metrics, in the content type that Prometheus expects', async () => {
  const metrics = createMetrics();
  const log = createTestLog();
  const server = await serve(metrics, log);
  metrics.accepted({ model: 'größe' });
  const response = await fetch(`${server.url}/metrics`);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  expect(await response.text()).toContain('\nforetell_submissions_total{model="größe"} 1\n');
  expect((await fetch(`${server.url}/metrics/x`)).status).toBe(404);

  metrics.observe({
    openSubscriptions: () => {
      throw new Error('a bug');
    },
  });
  expect((await fetch(`${server.url}/metrics`)).status).toBe(500);
  expect(log.lines('error').map(({ message }) => message)).toEqual(['metrics not read']);
});
