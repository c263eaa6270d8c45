import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { Client } from '../support/client.ts';
import { startFleet, usePrivateServers } from '../support/fleet.ts';
import { type RunningProcess, startProcess } from '../support/processes.ts';
import { type DirectRuns, type PassedTest, runDirectly } from './onnx-tests.ts';
import { compareOutputs, writeModels } from './through-foretell.ts';

/** Models in one repository on RabbitMQ: each has two quorum queues there. */
const SLICE = 60;

let direct: DirectRuns;
beforeAll(async () => {
  direct = await runDirectly();
}, 600_000);

async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'foretell-conformance-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  return directory;
}

const MODELS = '{ models { name fault inputs { name } } }';

interface Served {
  name: string;
  fault: string | null;
  inputs: { name: string }[];
}

/** Names of tests, by how their outputs compare; what is otherwise, or not served, with a sentence each. */
interface Comparison {
  same: number;
  rounding: string[];
  otherwise: string[];
}

/** Compares each test through a service that serves their models. */
async function compare(client: Client, tests: readonly PassedTest[]): Promise<Comparison> {
  const { models } = await client.get<{ models: Served[] }>(MODELS);
  const servedAs = new Map(models.map((model) => [model.name, model]));
  const comparison: Comparison = { same: 0, rounding: [], otherwise: [] };
  for (const each of tests) {
    const served = servedAs.get(each.name);
    const inputNames = served?.inputs.map(({ name }) => name) ?? [];
    const found =
      served?.fault === null ? await compareOutputs(client, each, inputNames) : `not served: ${served?.fault}`;
    if (found === 'same') comparison.same += 1;
    else if (found === 'rounding') comparison.rounding.push(each.name);
    else comparison.otherwise.push(`${each.name}: ${found}`);
  }
  return comparison;
}

function report(where: string, tests: readonly PassedTest[], { same, rounding, otherwise }: Comparison): void {
  const counts = `the same bit for bit ${same}, but for rounding ${rounding.length}, otherwise ${otherwise.length}`;
  process.stdout.write(`${where}: direct ${tests.length}, ${counts}\n`);
  for (const line of [...rounding, ...otherwise]) process.stdout.write(`  ${line}\n`);
}

/** Resident memory of a process, in MiB. */
async function residentMib({ pid }: RunningProcess): Promise<number> {
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024);
}

test('every test that onnxruntime-node passes gives the same through one process with all the models at once', async () => {
  const { passed, leftOut } = direct;
  const reasons = Map.groupBy(leftOut.values(), (reason) => reason.replace(/:.*$/s, ''));
  process.stdout.write(
    `left out before: ${[...reasons].map(([reason, all]) => `${reason} ${all.length}`).join(', ')}\n`,
  );
  expect(passed.length).toBeGreaterThan(600);
  const directory = await temporaryDirectory();
  await writeModels(directory, passed);
  const startedAt = performance.now();
  const service = await startProcess('start', { MODELS_DIR: directory });
  await service.ready();
  const client = new Client(service.url);
  const askedAt = performance.now();
  await client.get('{ __schema { types { name fields { name } } } }');
  const answeredAt = performance.now();
  process.stdout.write(
    `${passed.length} models: ready after ${Math.round(askedAt - startedAt)} ms, ${await residentMib(service)} MiB, introspection ${Math.round(answeredAt - askedAt)} ms\n`,
  );
  const found = await compare(client, passed);
  report('in one process', passed, found);
  expect(found.otherwise).toEqual([]);
});

const servers = usePrivateServers();

test('and through API and worker on RabbitMQ and Redis, in slices', async () => {
  const { passed } = direct;
  const all: Comparison = { same: 0, rounding: [], otherwise: [] };
  for (let start = 0; start < passed.length; start += SLICE) {
    const tests = passed.slice(start, start + SLICE);
    const directory = await temporaryDirectory();
    await writeModels(directory, tests);
    const fleet = await startFleet(servers(), { settings: { MODELS_DIR: directory } });
    const found = await compare(fleet.client(), tests);
    all.same += found.same;
    all.rounding.push(...found.rounding);
    all.otherwise.push(...found.otherwise);
    for (const each of [...fleet.workers, ...fleet.apis]) await each.kill('SIGTERM');
    await servers().redis.cli('FLUSHALL');
  }
  report('on RabbitMQ and Redis', passed, all);
  expect(all.otherwise).toEqual([]);
});
