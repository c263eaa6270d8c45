import { defineConfig } from 'vitest/config';
import { FaultReporter } from './tests/support/fault-reporter.ts';
import settings from './vitest.config.ts';

/** The whole fault suite, that which takes its time as well, and whatever else does. */
export default defineConfig({
  test: {
    ...settings.test,
    include: ['tests/faults/*.test.ts', 'tests/*/*.long.test.ts'],
    exclude: [],
    // The cases' own lines and their table say it; what failed is shown in full all the same.
    reporters: ['dot', new FaultReporter(), ['json', { outputFile: '.vitest/faults.json' }]],
  },
});
