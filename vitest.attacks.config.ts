import { defineConfig } from 'vitest/config';
import { AttackReporter } from './tests/attacks/attack-reporter.ts';
import settings from './vitest.config.ts';

/** One caller attacks, and another must not notice: npm run test:attacks. One at a time, since waits are measured. */
export default defineConfig({
  test: {
    ...settings.test,
    include: ['tests/attacks/*.case.ts'],
    exclude: [],
    maxWorkers: 1,
    reporters: ['dot', new AttackReporter('.vitest/attacks.md'), ['json', { outputFile: '.vitest/attacks.json' }]],
  },
});
