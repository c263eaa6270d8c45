import { readdir, readFile } from 'node:fs/promises';
import { inferencePids, type RunningProcess } from './processes.ts';
import type { RedisServer } from './redis.ts';

/** What grows where something leaks. */
export interface VitalSigns {
  /** Milliseconds on the clock of `performance.now()`. */
  at: number;
  apiMib: number;
  /** Of JavaScript objects alone. */
  apiHeapMib: number;
  apiDescriptors: number;
  workerMib: number;
  workerDescriptors: number;
  inferenceMib: number;
  redisMib: number;
  redisKeys: number;
  subscriptions: number;
  listeners: number;
}

/** Takes them of a service of one API and one worker. What a process does not tell about itself is NaN. */
export async function takeVitalSigns(api: RunningProcess, worker: RunningProcess, redis: RedisServer) {
  const children = await inferencePids(worker);
  const [metrics, memory, keys, ...numbers] = await Promise.all([
    fetch(`${api.url}/metrics`).then((response) => response.text()),
    redis.cli('INFO', 'memory'),
    redis.cli('DBSIZE'),
    residentMib(api.pid),
    residentMib(worker.pid),
    descriptors(api.pid),
    descriptors(worker.pid),
    ...children.map(residentMib),
  ]);
  const [apiMib, workerMib, apiDescriptors, workerDescriptors, ...inferenceMib] = numbers;
  const metric = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(metrics)?.[1]);
  const signs: VitalSigns = {
    at: performance.now(),
    apiMib,
    apiHeapMib: metric('nodejs_heap_size_used_bytes') / 2 ** 20,
    apiDescriptors,
    workerMib,
    workerDescriptors,
    inferenceMib: inferenceMib.reduce((sum, each) => sum + each, 0),
    redisMib: Number(/used_memory:(\d+)/.exec(memory)?.[1]) / 2 ** 20,
    redisKeys: Number(keys),
    subscriptions: metric('foretell_open_subscriptions'),
    listeners: metric('foretell_task_listeners'),
  };
  return signs;
}

/** Resident memory of a process, of its own and of shared libraries. */
export async function residentMib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1_024;
}

/** How fast a sign grows, an hour: the line that lies nearest to all samples (least squares). */
export function slopePerHour(samples: readonly VitalSigns[], sign: keyof VitalSigns): number {
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const hours = samples.map(({ at }) => at / 3_600_000);
  const values = samples.map((sample) => sample[sign]);
  const [meanHour, meanValue] = [mean(hours), mean(values)];
  const covariance = mean(hours.map((hour, i) => (hour - meanHour) * ((values[i] ?? 0) - meanValue)));
  return covariance / mean(hours.map((hour) => (hour - meanHour) ** 2));
}

async function descriptors(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length;
}
