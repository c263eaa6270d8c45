import { InputError, type Issue } from '../errors.ts';

export type Path = (string | number)[];

/** Enough to mend an input by; a million wrong numbers are not answered with a million sentences. */
const ISSUES_MAX = 20;

/** Gathers the faults of one request, so that a client hears of all of them at once, as far as they are not too many. */
export class InputIssues {
  readonly #issues: Issue[] = [];
  #full = false;

  /** Copies the path. */
  add(path: readonly (string | number)[], message: string): void {
    if (this.#issues.length < ISSUES_MAX) this.#issues.push({ path: [...path], message });
    else this.#full = true;
  }

  get found(): boolean {
    return this.#issues.length > 0;
  }

  /** Whether there are more faults than are named: the rest of a long input need not be read. */
  get full(): boolean {
    return this.#full;
  }

  /** Throws INVALID_INPUT with what was found, if anything was. */
  refuse(): void {
    if (this.found) throw this.toError();
  }

  /** Adds what was found to others, below a path of theirs. */
  moveTo(others: InputIssues, below: Path): void {
    for (const { path, message } of this.#issues) others.add([...below, ...path], message);
    others.#full ||= this.#full;
  }

  toError(): InputError {
    return new InputError('INVALID_INPUT', this.#issues, { hasMore: this.#full });
  }
}

/** An object with string keys, as JSON and GraphQL give it. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value as an error shows it: its kind, never its content. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return value === null ? 'null' : 'nothing';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
