import { type Figure, type Measure, quantile } from '../measure.ts';
import type { Stage } from '../stage.ts';
import { foretellTarget, sequentialMs, type Target } from '../target.ts';

const FINISHED = 1_000_000;
const CALLS = 400;
/** Of one call of Redis's. */
const RECORDS = 20_000;

/** Records as Foretell keeps them, of tasks that have ended. */
const FILL = `
for i = 1, tonumber(ARGV[1]) do
  local key = 'foretell:{' .. ARGV[2] .. '-' .. i .. '}'
  redis.call('HSET', key, 'state', 'SUCCEEDED', 'submission', ARGV[3], 'attempts', 1, 'revision', 3, 'claim', key,
    'startedAt', 1, 'completedAt', 2, 'end', ARGV[4])
  redis.call('PEXPIRE', key, 86400000)
end`;

const p50 = async (target: Target) => quantile(await sequentialMs(target, CALLS), 0.5);

async function fill({ redis }: Stage): Promise<void> {
  // What is measured is Redis's memory, not how fast its file grows.
  await redis.cli('CONFIG', 'SET', 'appendonly', 'no');
  const submission = JSON.stringify({ id: 'x'.repeat(36), owner: 'anonymous', model: { name: 'iris' }, door: 'typed' });
  for (let i = 0; i < FINISHED; i += RECORDS) {
    await redis.cli('EVAL', FILL, '0', String(RECORDS), `history-${i}`, submission, 'x'.repeat(200));
  }
}

/** Whether a submit costs more once a million tasks have ended. */
export const history: Measure = {
  name: 'history',
  async run(stage) {
    stage.progress(`beside ${FINISHED} finished tasks`);
    return stage.foretell({}, async ({ url }) => {
      const target = foretellTarget(url);
      await p50(target);
      const before = await p50(target);
      await fill(stage);
      const after = await p50(target);
      target.close();
      return [
        { what: 'submit to result, p50, with an empty Redis', unit: 'ms', value: before },
        { what: 'submit to result, p50, beside a million finished tasks', unit: 'ms', value: after },
      ] satisfies Figure[];
    });
  },
};
