import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type Fleet, type PrivateServers, startFleet } from '../support/fleet.ts';
import type { ModelFixture } from '../support/model-files.ts';
import { hoards, identity, quotient, slow } from '../support/onnx-models.ts';
import type { Place, RunningProcess } from '../support/processes.ts';
import { KEY_SETTINGS } from './stage.ts';

/** What both owners use; `hoards` takes as much memory as its input says, `slow` as much time, and `crashes` dies of -2⁶³ / -1. */
export async function attackedModels(): Promise<Record<string, ModelFixture>> {
  const [iris, digits] = await Promise.all([shipped('iris'), shipped('digits')]);
  return {
    iris,
    digits,
    echo: { onnx: identity('FP32', ['batch', 'n']) },
    slow: { onnx: slow(), manifest: { timeoutMs: 2_000 } },
    hoards: { onnx: hoards(), manifest: { timeoutMs: 2_000 } },
    crashes: { onnx: quotient(), manifest: { timeoutMs: 2_000 } },
  };
}

async function shipped(name: string): Promise<ModelFixture> {
  const path = (file: string) => fileURLToPath(new URL(`../../models/${name}/${file}`, import.meta.url));
  return { onnx: await readFile(path('1/model.onnx')), manifest: await readFile(path('model.json'), 'utf8') };
}

export interface AttackedFleet extends Fleet, PrivateServers {
  api: RunningProcess;
  worker: RunningProcess;
  /** Those that must not end. */
  processes: Record<string, RunningProcess>;
}

/** An API and a worker of two inference processes, with keys for A and B, on servers that hold nothing. */
export async function startAttacked(servers: PrivateServers, apiPlace: Place = {}): Promise<AttackedFleet> {
  await servers.redis.cli('FLUSHALL');
  const fleet = await startFleet(servers, {
    models: await attackedModels(),
    settings: { ...KEY_SETTINGS, WORKER_SLOTS: '2', LOG_LEVEL: 'warn' },
    apiPlace,
  });
  const [api, worker] = [fleet.apis[0], fleet.workers[0]];
  if (!api || !worker) throw new Error('expected an API and a worker');
  return { ...fleet, api, worker, processes: { api, worker } };
}
