import { InputError, type Issue } from '../errors.ts';

export type Path = (string | number)[];

/** Enough to mend an input by; a million wrong numbers are not answered with a million sentences. */
const ISSUES_MAX = 20;

/** Gathers the faults of one request, so that a client hears of all of them at once. */
export class InputIssues {
  readonly #issues: Issue[] = [];

  add(path: Path, message: string): void {
    if (this.#issues.length < ISSUES_MAX) this.#issues.push({ path, message });
  }

  get found(): boolean {
    return this.#issues.length > 0;
  }

  /** Whether more would not be kept: the rest of a long input need not be read. */
  get full(): boolean {
    return this.#issues.length >= ISSUES_MAX;
  }

  /** Throws INVALID_INPUT with what was found, if anything was. */
  refuse(): void {
    if (this.found) throw this.toError();
  }

  toError(): InputError {
    return new InputError('INVALID_INPUT', this.#issues);
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
