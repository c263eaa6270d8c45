import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { test } from 'vitest';
import { startCase } from '../support/fault-case.ts';
import { startFleet, usePrivateServers } from '../support/fleet.ts';
import { inferencePids } from '../support/processes.ts';
import { slowSample } from '../support/samples.ts';

const TASKS = 300;

const servers = usePrivateServers();

/** The soft limit of a running process, as `ulimit -n` would set it at its start. */
async function limitDescriptors(pid: number, max: number | 'unlimited'): Promise<void> {
  await promisify(execFile)('prlimit', ['--pid', String(pid), `--nofile=${max}:`]);
}

test('a worker that can start no inference process says so, and leaves the work to others', async (context) => {
  const it = startCase(context, 'no inference process can be started');
  const fleet = await startFleet(servers(), { workers: 2 });
  const [sick] = fleet.workers;
  if (!sick) throw new Error('expected a worker');
  const limits = await readFile(`/proc/${sick.pid}/limits`, 'utf8');
  const before = Number(/Max open files\s+(\d+)/.exec(limits)?.[1]);
  const open = (await readdir(`/proc/${sick.pid}/fd`)).length;
  // Its connections stay; a child's pipes do not fit.
  await limitDescriptors(sick.pid, open - 2);
  for (const pid of await inferencePids(sick)) process.kill(pid, 'SIGKILL');
  await sick.unready();

  const samples = Array.from({ length: TASKS }, () => slowSample(it.random.integer(100, 2_000)));
  it.subscribe(await it.submitAll(fleet.client(), samples), fleet.client);
  await it.verify(fleet.client(), { withinMs: 60_000 });

  await limitDescriptors(sick.pid, before);
  await sick.ready();
  await sick.line(/inference processes can be started again/);
});
