import type { Lane } from '../../../broker/topology.ts';
import { InputIssues } from '../../../models/input-issues.ts';
import type { Builder } from './builder.ts';

const WAIT_MS_MAX = 30_000;

/** An unfinished task's record is kept this long at most. */
const EXPIRES_IN_MS_MAX = 7 * 24 * 3_600_000;

const IDEMPOTENCY_KEY_LENGTH_MAX = 255;

/** `SubmitOptions` as GraphQL has coerced it; null means not given. */
export interface SubmitOptions {
  version?: string | null | undefined;
  idempotencyKey?: string | null | undefined;
  expiresInMs?: number | null | undefined;
  priority?: Lane | null | undefined;
  waitMs?: number | null | undefined;
}

/** The options of a submission. */
export interface SubmitTerms {
  version: string | undefined;
  idempotencyKey: string | undefined;
  expiresInMs: number | undefined;
  lane: Lane;
  waitMs: number;
}

export function addSubmitOptions(builder: Builder) {
  const priority = builder.enumType('Priority', {
    values: {
      NORMAL: { value: 'normal' as const },
      HIGH: { value: 'high' as const, description: 'Runs first; one run in four stays reserved for NORMAL.' },
    },
  });
  return builder.inputRef<SubmitOptions>('SubmitOptions').implement({
    fields: (t) => ({
      version: t.string({
        description:
          "Pins a model version instead of the default one. A typed input that does not fit that version's signature is INVALID_INPUT.",
      }),
      idempotencyKey: t.string({
        description:
          'The same key of the same owner returns the same task, as long as the task is kept. 1 to 255 characters. Not allowed with submitPredictions.',
      }),
      expiresInMs: t.int({
        description: `The task ends as EXPIRED if it has not started after this many milliseconds. 1 to ${thousands(EXPIRES_IN_MS_MAX)} (a week).`,
      }),
      priority: t.field({
        type: priority,
        defaultValue: 'normal',
        description: 'HIGH runs first; one run in four stays reserved for NORMAL.',
      }),
      waitMs: t.int({
        defaultValue: 0,
        description:
          'Holds the response until the task is terminal (SUCCEEDED, FAILED, CANCELLED or EXPIRED), or until this many milliseconds have passed. 0 to 30,000.',
      }),
    }),
  });
}

/** Throws INVALID_INPUT, which names each wrong option. A key names one task, so `isBulk` refuses it. */
export function readSubmitOptions(given: SubmitOptions | null | undefined, isBulk: boolean): SubmitTerms {
  const { version, idempotencyKey, expiresInMs, priority, waitMs } = given ?? {};
  const issues = new InputIssues();
  checkRange(issues, 'waitMs', waitMs, 0, WAIT_MS_MAX);
  checkRange(issues, 'expiresInMs', expiresInMs, 1, EXPIRES_IN_MS_MAX);
  if (idempotencyKey != null) {
    const path = ['options', 'idempotencyKey'];
    const { length } = idempotencyKey;
    if (isBulk) issues.add(path, 'expected no key with submitPredictions: a key stands for one task');
    else if (length < 1 || length > IDEMPOTENCY_KEY_LENGTH_MAX) {
      issues.add(path, `expected 1 to ${IDEMPOTENCY_KEY_LENGTH_MAX} characters, got ${length}`);
    }
  }
  issues.refuse();
  return {
    version: version ?? undefined,
    idempotencyKey: idempotencyKey ?? undefined,
    expiresInMs: expiresInMs ?? undefined,
    lane: priority ?? 'normal',
    waitMs: waitMs ?? 0,
  };
}

function checkRange(
  issues: InputIssues,
  option: string,
  value: number | null | undefined,
  min: number,
  max: number,
): void {
  if (value == null || (value >= min && value <= max)) return;
  issues.add(['options', option], `expected ${min} to ${max} milliseconds, got ${value}`);
}

/** Not `toLocaleString`, which loads languages first: a tenth of a second at each start. */
function thousands(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}
