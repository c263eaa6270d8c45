import { expect, test } from 'vitest';
import { RunError } from '../../workers/inference/run-error.ts';
import { outcomeOf, wornOut } from '../../workers/tasks/outcome.ts';

const LADDER_MS = [1_000, 5_000, 30_000];

test.each(['MODEL_ERROR', 'INVALID_OUTPUT'] as const)('%s ends a task at once, on any attempt', (code) => {
  for (let maxAttempts = 1; maxAttempts <= 20; maxAttempts += 1) {
    for (let attempt = 0; attempt <= maxAttempts; attempt += 1) {
      const outcome = outcomeOf(new RunError(code, 'it said so'), attempt, maxAttempts);
      expect(outcome).toEqual({ to: 'FAILED', error: { code, message: 'it said so' } });
    }
  }
});

test.each(['TIMEOUT', 'WORKER_LOST'] as const)('%s is tried again, later each time, until the last attempt', (code) => {
  for (let maxAttempts = 1; maxAttempts <= 20; maxAttempts += 1) {
    for (let attempt = 1; attempt < maxAttempts; attempt += 1) {
      const retryAfterMs = LADDER_MS[Math.min(attempt, 3) - 1];
      expect(outcomeOf(new RunError(code, 'lost'), attempt, maxAttempts)).toEqual({ to: 'QUEUED', retryAfterMs });
    }
    expect(outcomeOf(new RunError(code, 'lost'), maxAttempts, maxAttempts)).toEqual({
      to: 'FAILED',
      error: { code, message: `lost (attempt ${maxAttempts} of ${maxAttempts})` },
    });
  }
});

test('a task whose workers were lost says how often it was tried', () => {
  const message = 'each worker that ran the task was lost (3 attempts of 3)';
  expect(wornOut(3, 3)).toEqual({ code: 'WORKER_LOST', message });
});
