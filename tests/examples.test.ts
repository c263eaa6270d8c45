import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { requireBinary } from './support/binaries.ts';
import { documentQueries, fencesOf, isShown } from './support/documents.ts';
import { freePort } from './support/free-port.ts';
import { type Ended, runProgram } from './support/processes.ts';
import { openService, type Service } from './support/service.ts';

let service: Service;
beforeAll(async () => {
  service = await openService({ servers: { brokerUrl: 'memory:', storeUrl: 'memory:' } });
});
afterAll(() => service.close());

const url = () => service.client.url;

const SETOSA = { __typename: 'IrisPrediction', label: 'setosa' };

function demo(at: string): Promise<Ended> {
  return runProgram(process.execPath, ['examples/demo.ts'], { FORETELL_URL: at });
}

test('the example in curl prints the id, and the events as they come', async () => {
  await requireBinary('curl', 'curl');
  const { code, stdout, stderr } = await runProgram('sh', ['examples/submit.sh', url()]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^task [\w-]+\n/);
  const [, data = ''] = /event: next\ndata: (.+)\n/.exec(stdout) ?? [];
  expect(JSON.parse(data)).toEqual({
    data: { taskCompleted: { id: expect.any(String), state: 'SUCCEEDED', prediction: SETOSA } },
  });
  expect(stdout.trimEnd()).toMatch(/event: complete(\ndata:.*)?$/);
});

test.each([
  ['TypeScript', async () => [process.execPath, 'examples/submit.ts']],
  ['Python', async () => [await requireBinary('python3', 'python3'), 'examples/submit.py']],
] as const)('the example in %s prints the id and the prediction', async (_, command) => {
  const [program = '', file = ''] = await command();
  const { code, stdout, stderr } = await runProgram(program, [file, url()]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const [task, data = '', ...rest] = stdout.trimEnd().split('\n');
  expect(task).toMatch(/^task [\w-]+$/);
  expect(JSON.parse(data)).toEqual({
    taskCompleted: { id: task?.slice('task '.length), state: 'SUCCEEDED', prediction: SETOSA },
  });
  expect(rest).toEqual([]);
});

test('the demo shows one hundred results and their means, told as they come and waited for', async () => {
  const { code, stdout, stderr } = await demo(url());
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const [told = '', waitedFor = ''] = stdout.split('Synchronous:');
  expect(told).toContain('Asynchronous: 100 tasks');
  for (const part of [told, waitedFor]) {
    expect(part).toMatch(/task +label +queued ms +run ms +batch\n/);
    const rows = [...part.matchAll(/^ +[\w-]{8} +(setosa|versicolor|virginica) +[\d.]+ +[\d.]+ +\d+$/gm)];
    expect(rows).toHaveLength(10);
    const counts = [...part.matchAll(/^ +(?:setosa|versicolor|virginica) +(\d+) {2}▪+$/gm)].map(([, count]) =>
      Number(count),
    );
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(100);
    for (const mean of ['time in the queue', 'time in the model', 'batch'])
      expect(part).toMatch(new RegExp(`mean ${mean} +[\\d.]+ `));
  }
});

test('the demo says what to do where nothing listens', async () => {
  const nobody = `http://127.0.0.1:${await freePort()}/graphql`;
  const { code, stdout, stderr } = await demo(nobody);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toBe(`Nothing listens at ${nobody}. Run \`npm start\` first.\n`);
});

test('the README’s query answers as it says there, and its client prints the prediction', async () => {
  const [shown, ...others] = documentQueries('README.md');
  expect(others).toEqual([]);
  const answer = await service.client.ask(shown?.query ?? '', {});
  expect(isShown(answer, shown?.answer), JSON.stringify(answer)).toBe(true);

  const [client] = fencesOf(readFileSync('README.md', 'utf8')).filter(({ kind }) => kind === 'js');
  expect(client?.text.split('\n').filter((line) => line !== '').length).toBeLessThanOrEqual(10);
  const program = (client?.text ?? '').replace('http://127.0.0.1:4000/graphql', url());
  const { code, stdout, stderr } = await runProgram(process.execPath, ['--input-type=module', '--eval', program]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/state: 'SUCCEEDED',\s+prediction: \{ __typename: 'IrisPrediction', label: 'setosa' \}/);
});
