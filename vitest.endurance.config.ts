import { defineConfig } from 'vitest/config';
import settings from './vitest.config.ts';

/** What takes minutes, and is run now and then: a cluster that loses its nodes, a soak. */
export default defineConfig({
  test: {
    ...settings.test,
    include: ['tests/endurance/*.case.ts'],
    exclude: [],
    testTimeout: 1_200_000,
  },
});
