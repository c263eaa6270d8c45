import { ERROR_CODES, type ErrorCode } from '../errors.ts';
import type { ModelLabel } from './model-label.ts';

/** Each has a hundred series or so: those of more models appear with their first event, which `rate()` then does not see. */
const KNOWN_MAX = 100;

/** Found before a submission is read, or of no submission. */
const OTHER_CODES: readonly ErrorCode[] = ['UNAUTHENTICATED', 'FORBIDDEN', 'UNKNOWN_TASK'];

/** What submissions are refused with. */
export const REFUSALS = ERROR_CODES.filter((code) => !OTHER_CODES.includes(code));

/** Has `begin` make the series of each model once, by what a process does. */
export function createKnownModels<Does extends string>(
  labelOf: ModelLabel,
  begin: Record<Does, (model: string) => void>,
): (models: readonly string[], does: Does) => void {
  const known = new Set<string>();
  return (models, does) => {
    for (const model of models) {
      const key = `${does} ${model}`;
      if (known.has(key) || known.size >= KNOWN_MAX) continue;
      known.add(key);
      begin[does](labelOf(model));
    }
  };
}
