import { defineConfig } from 'vitest/config';
import settings from './vitest.config.ts';

/** ONNX's own tests, through Foretell: npm run test:conformance. */
export default defineConfig({
  test: { ...settings.test, include: ['tests/conformance/*.case.ts'], exclude: [], testTimeout: 1_200_000 },
});
