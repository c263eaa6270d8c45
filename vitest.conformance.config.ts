import { defineConfig } from 'vitest/config';
import settings from './vitest.config.ts';

/** ONNX's own tests, through Foretell: npm run test:conformance. */
export default defineConfig({
  test: {
    ...settings.test,
    include: ['tests/conformance/*.case.ts'],
    exclude: [],
    env: { ORT_DISABLE_TELEMETRY: '1' },
    testTimeout: 1_200_000,
  },
});
