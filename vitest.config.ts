import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // Modules as Node itself loads them, types stripped: what is tested is what runs (Vite would load a second copy of graphql).
    experimental: { viteModuleRunner: false },
    include: ['tests/**/*.test.ts'],
    // Most of the time is spent waiting for servers to come up or to be noticed missing: two files at a time, on two cores.
    maxWorkers: 2,
    // Long enough for a broker to be killed and come back on two busy cores; a test that waits for an event never needs it.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: ['default', ['json', { outputFile: '.vitest/report.json' }]],
  },
});
