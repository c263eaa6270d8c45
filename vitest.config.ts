import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';
import { FaultReporter } from './tests/support/fault-reporter.ts';

// Hundreds of processes, of the runner's and of Foretell's, would each strip the types of the same files: half of what they take to start.
process.env['NODE_COMPILE_CACHE'] ??= join(import.meta.dirname, '.vitest', 'compile-cache');

export default defineConfig({
  test: {
    // Modules as Node itself loads them, types stripped: what is tested is what runs (Vite would load a second copy of graphql).
    experimental: { viteModuleRunner: false },
    globalSetup: ['tests/support/rabbitmq-lender.ts'],
    include: ['tests/**/*.test.ts'],
    // What takes its time: npm run test:faults.
    exclude: ['tests/*/*.long.test.ts'],
    // What the fault suite chooses by; the seed of another run, given here, repeats its choices.
    env: { FAULT_SEED: process.env['FAULT_SEED'] ?? String(randomInt(2 ** 31)) },
    // Most of the time is spent waiting for servers and processes to come up or to be noticed missing: four files at a time on two cores.
    maxWorkers: 4,
    // Long enough for a broker to be killed and come back on two busy cores; a test that waits for an event never needs it.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // The default, a second, is less than a busy machine needs for things that take milliseconds.
    expect: { poll: { timeout: 30_000 } },
    reporters: ['default', new FaultReporter(), ['json', { outputFile: '.vitest/report.json' }]],
  },
});
