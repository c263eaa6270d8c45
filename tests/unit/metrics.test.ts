import { expect, test } from 'vitest';
import { BrokerUnavailable } from '../../src/errors.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import type { Observed } from '../../src/telemetry/observed.ts';

/** The text format, read strictly: each line, each name with its type before it, each series once. */
function parse(text: string): Map<string, number> {
  const series = new Map<string, number>();
  const types = new Map<string, string>();
  expect(text.endsWith('\n')).toBe(true);
  for (const line of text.split('\n')) {
    if (line === '' || /^# HELP [a-z0-9_]+ \S.*$/.test(line)) continue;
    const type = /^# TYPE ([a-z0-9_]+) (counter|gauge|histogram)$/.exec(line);
    if (type) {
      expect(types.has(type[1] ?? '')).toBe(false);
      types.set(type[1] ?? '', type[2] ?? '');
      continue;
    }
    const label = String.raw`[a-z_]+="(?:[^"\\\n]|\\["\\n])*"`;
    const found = new RegExp(String.raw`^([a-z0-9_]+)((?:\{${label}(?:,${label})*\})?) (\S+)$`).exec(line);
    const [, name = '', labels = '', value = ''] = found ?? [];
    expect(found, line).not.toBeNull();
    expect(types.has(name) || types.get(name.replace(/_(bucket|sum|count)$/, '')) === 'histogram', line).toBe(true);
    // Not a number, in Go's reading as in Node's: the delays of an event loop that had none yet.
    if (!/^nan$/i.test(value)) expect(Number(value.replace('Inf', 'Infinity')), line).not.toBeNaN();
    expect(series.has(name + labels), line).toBe(false);
    series.set(name + labels, Number(value));
  }
  return series;
}

const scrape = async (metrics: Metrics) => parse(await metrics.exposition());

test('what is told is counted, for each model', async () => {
  const metrics = createMetrics();
  metrics.accepted({ model: 'iris' });
  metrics.accepted({ model: 'iris' });
  metrics.accepted({ model: 'digits' });
  metrics.refused({ model: 'iris', code: 'INVALID_INPUT' });
  metrics.refused({ code: 'UNKNOWN_MODEL' });
  metrics.retried({ model: 'iris' });
  metrics.returned({ model: 'iris' });
  metrics.deadLettered({});
  metrics.duplicateDropped({ model: 'iris' });
  metrics.reconnected('redis commands');
  const series = await scrape(metrics);
  expect(series.get('foretell_submissions_total{model="iris"}')).toBe(2);
  expect(series.get('foretell_submissions_total{model="digits"}')).toBe(1);
  expect(series.get('foretell_submissions_refused_total{model="iris",code="INVALID_INPUT"}')).toBe(1);
  expect(series.get('foretell_submissions_refused_total{model="",code="UNKNOWN_MODEL"}')).toBe(1);
  expect(series.get('foretell_retries_total{model="iris"}')).toBe(1);
  expect(series.get('foretell_returns_total{model="iris"}')).toBe(1);
  expect(series.get('foretell_dead_letters_total{model=""}')).toBe(1);
  expect(series.get('foretell_duplicates_dropped_total{model="iris"}')).toBe(1);
  expect(series.get('foretell_reconnects_total{connection="redis commands"}')).toBe(1);
  expect(series.get('foretell_reconnects_total{connection="broker publishing"}')).toBe(0);
});

test('times are histograms in seconds, and a run counts once however many tasks share it', async () => {
  const metrics = createMetrics();
  metrics.begun({ model: 'iris', queuedMs: 20 });
  metrics.begun({ model: 'iris', queuedMs: 400 });
  // The clock of the machine that claims may be behind the one that submitted.
  metrics.begun({ model: 'iris', queuedMs: -3_000 });
  metrics.ran({ model: 'iris', runMs: 3, batchSize: 5 });
  metrics.ended({ model: 'iris', state: 'SUCCEEDED', totalMs: 1_500 });
  metrics.ended({ model: 'iris', state: 'FAILED', totalMs: 1_500 });
  const series = await scrape(metrics);
  expect(series.get('foretell_queued_seconds_count{model="iris"}')).toBe(3);
  expect(series.get('foretell_queued_seconds_sum{model="iris"}')).toBeCloseTo(0.42);
  expect(series.get('foretell_queued_seconds_bucket{le="0.025",model="iris"}')).toBe(2);
  expect(series.get('foretell_queued_seconds_bucket{le="+Inf",model="iris"}')).toBe(3);
  expect(series.get('foretell_run_seconds_sum{model="iris"}')).toBeCloseTo(0.003);
  expect(series.get('foretell_batch_size_count{model="iris"}')).toBe(1);
  expect(series.get('foretell_batch_size_bucket{le="4",model="iris"}')).toBe(0);
  expect(series.get('foretell_batch_size_bucket{le="8",model="iris"}')).toBe(1);
  expect(series.get('foretell_tasks_ended_total{model="iris",state="SUCCEEDED"}')).toBe(1);
  expect(series.get('foretell_tasks_ended_total{model="iris",state="FAILED"}')).toBe(1);
  expect(series.get('foretell_task_seconds_bucket{le="2.5",model="iris",state="SUCCEEDED"}')).toBe(1);
});

test('what is observed is read at each scrape, and what nobody gave is left out', async () => {
  const metrics = createMetrics();
  let subscriptions = 3;
  let tasks: ReturnType<Observed['tasksInHand']> = [{ model: 'iris', state: 'RUNNING', tasks: 4 }];
  metrics.observe({
    openSubscriptions: () => subscriptions,
    inferenceRestarts: () => 2,
    sessions: () => ({ loaded: 3, bytes: 4_096, loads: 9, evictions: 6 }),
    tasksInHand: () => tasks,
    queueDepths: async () => [{ model: 'iris', lane: 'high', messages: 7 }],
  });
  const first = await scrape(metrics);
  expect(first.get('foretell_open_subscriptions')).toBe(3);
  expect(first.get('foretell_inference_restarts_total')).toBe(2);
  expect(first.get('foretell_sessions')).toBe(3);
  expect(first.get('foretell_session_bytes')).toBe(4_096);
  expect(first.get('foretell_session_loads_total')).toBe(9);
  expect(first.get('foretell_session_evictions_total')).toBe(6);
  expect(first.get('foretell_tasks_in_hand{model="iris",state="RUNNING"}')).toBe(4);
  expect(first.get('foretell_queue_messages{model="iris",lane="high"}')).toBe(7);
  expect([...first.keys()].filter((name) => name.startsWith('foretell_held'))).toEqual([]);

  subscriptions = 0;
  tasks = [];
  metrics.observe({ heldDeliveries: () => 5, heldBytes: () => 1_024 });
  const second = await scrape(metrics);
  expect(second.get('foretell_open_subscriptions')).toBe(0);
  expect(second.get('foretell_inference_restarts_total')).toBe(2);
  expect(second.has('foretell_tasks_in_hand{model="iris",state="RUNNING"}')).toBe(false);
  expect(second.get('foretell_held_deliveries')).toBe(5);
  expect(second.get('foretell_held_bytes')).toBe(1_024);
});

test('a broker that hangs costs a scrape the depths of its queues and nothing else, and is not asked twice', async () => {
  const metrics = createMetrics();
  let asked = 0;
  let answer: (depths: Awaited<ReturnType<Observed['queueDepths']>>) => void = () => undefined;
  const depths = { model: 'iris', lane: 'normal', messages: 7 } as const;
  metrics.observe({
    queueDepths: () => {
      asked += 1;
      return new Promise((resolve) => {
        answer = resolve;
      });
    },
  });
  const begun = scrape(metrics);
  answer([depths]);
  expect((await begun).get('foretell_queue_messages{model="iris",lane="normal"}')).toBe(7);

  const during = await Promise.all([scrape(metrics), scrape(metrics), scrape(metrics)]);
  for (const series of during) {
    expect(series.has('foretell_queue_messages{model="iris",lane="normal"}')).toBe(false);
    expect(series.get('foretell_reconnects_total{connection="broker publishing"}')).toBe(0);
  }
  expect(asked).toBe(2);

  answer([depths]);
  const after = scrape(metrics);
  answer([depths]);
  expect((await after).get('foretell_queue_messages{model="iris",lane="normal"}')).toBe(7);
});

test('control characters in the name of a model do not reach a terminal', async () => {
  const metrics = createMetrics();
  for (let i = 0; i < 2; i++) metrics.accepted({ model: '\u001b[31mred\u202e' });
  const series = await scrape(metrics);
  expect(series.get(String.raw`foretell_submissions_total{model="\\u001b[31mred\\u202e"}`)).toBe(2);
});

test('a broker that is away is no fault of a scrape, any other error is', async () => {
  const away = createMetrics();
  away.observe({ queueDepths: () => Promise.reject(new BrokerUnavailable('not connected')) });
  expect([...(await scrape(away)).keys()].filter((name) => name.startsWith('foretell_queue_messages'))).toEqual([]);
  const broken = createMetrics();
  broken.observe({ queueDepths: () => Promise.reject(new TypeError('a bug')) });
  await expect(broken.exposition()).rejects.toThrow('a bug');
});

test('names of models are escaped, and beyond a bound they share one series', async () => {
  const metrics = createMetrics();
  metrics.accepted({ model: 'say "x"\\\n' });
  for (let i = 0; i < 600; i += 1) metrics.accepted({ model: `model ${i}` });
  const series = await scrape(metrics);
  expect(series.get(String.raw`foretell_submissions_total{model="say \"x\"\\\n"}`)).toBe(1);
  expect(series.get('foretell_submissions_total{model="model 0"}')).toBe(1);
  expect(series.get('foretell_submissions_total{model="other"}')).toBe(101);
  expect([...series.keys()].filter((name) => name.startsWith('foretell_submissions_total')).length).toBe(501);
});

test('two of them in a process share nothing but what Node says of it', async () => {
  const [one, other] = [createMetrics(), createMetrics()];
  one.accepted({ model: 'iris' });
  const series = await scrape(other);
  expect(series.has('foretell_submissions_total{model="iris"}')).toBe(false);
  expect(series.get('process_resident_memory_bytes')).toBeGreaterThan(1_000_000);
});

test('the series of a model that is known exist before its first event, a hundred models at most', async () => {
  const metrics = createMetrics();
  const first = await scrape(metrics);
  expect(first.get('foretell_dead_letters_total{model=""}')).toBe(0);
  expect(first.get('foretell_submissions_refused_total{model="",code="UNKNOWN_MODEL"}')).toBe(0);
  metrics.know(['iris'], 'submits');
  metrics.know(['iris'], 'runs');
  const known = await scrape(metrics);
  for (const series of [
    'foretell_submissions_total{model="iris"}',
    'foretell_submissions_refused_total{model="iris",code="QUEUE_FULL"}',
    'foretell_tasks_ended_total{model="iris",state="EXPIRED"}',
    'foretell_tasks_ended_total{model="iris",state="FAILED"}',
    'foretell_dead_letters_total{model="iris"}',
    'foretell_retries_total{model="iris"}',
    'foretell_sharing_checks_total{model="iris"}',
    'foretell_sharing_ended_total{model="iris"}',
    'foretell_run_seconds_count{model="iris"}',
    'foretell_task_seconds_bucket{le="1",model="iris",state="SUCCEEDED"}',
  ]) {
    expect(known.get(series), series).toBe(0);
  }
  metrics.ran({ model: 'iris', runMs: 3, batchSize: 5 });
  metrics.sharingChecked({ model: 'iris' });
  metrics.sharingEnded({ model: 'iris' });
  metrics.know(['iris', ...Array.from({ length: 200 }, (_, i) => `model${i}`)], 'runs');
  const all = await scrape(metrics);
  expect(all.get('foretell_run_seconds_count{model="iris"}')).toBe(1);
  expect(all.get('foretell_sharing_checks_total{model="iris"}')).toBe(1);
  expect(all.get('foretell_sharing_ended_total{model="iris"}')).toBe(1);
  expect([...all.keys()].filter((name) => name.startsWith('foretell_retries_total'))).toHaveLength(99);
});
