import { parseArgs } from 'node:util';
import { startVitest } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    soakMinutes: number;
  }
}

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '30' } } });
const minutes = Number(values.minutes);
if (!(minutes > 0)) throw new Error(`--minutes: expected a number greater than 0, got "${values.minutes}"`);

const vitest = await startVitest('test', ['tests/endurance/soak.case.ts'], {
  config: 'vitest.endurance.config.ts',
  watch: false,
  provide: { soakMinutes: minutes },
});
await vitest.close();
