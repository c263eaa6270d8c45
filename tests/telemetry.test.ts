import { expect, test } from 'vitest';
import { runProgram } from './support/processes.ts';

/** Runs some lines in a process of their own, in the root of the repository. */
const run = (script: string) => runProgram(process.execPath, ['--input-type=module', '--eval', script]);

test('metrics keep no process alive', async () => {
  const script = "import { createMetrics } from './src/telemetry/metrics.ts'; await createMetrics().exposition();";
  expect(await run(script)).toMatchObject({ code: 0, stderr: '' });
});

test('without an endpoint for traces OpenTelemetry is not even loaded', async () => {
  const { stdout } = await run(`
    import { registerHooks } from 'node:module';
    const loaded = [];
    registerHooks({ load(url, context, next) { loaded.push(url); return next(url, context); } });
    const { openTracing } = await import('./src/telemetry/tracing-open.ts');
    await openTracing({ service: 'foretell-api', log: undefined });
    console.log(loaded.filter((url) => /tracing-open/.test(url)).length, loaded.filter((url) => /opentelemetry/.test(url)).length);`);
  expect(stdout).toBe('1 0\n');
});
