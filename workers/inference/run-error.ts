import type { TaskError } from '../../src/task.ts';

/** A run that gave no result: what went wrong, as its task will say. */
export class RunError extends Error {
  readonly code: TaskError['code'];

  constructor(code: TaskError['code'], message: string) {
    super(message);
    this.name = new.target.name;
    this.code = code;
  }
}

export function poolClosed(): RunError {
  return new RunError('WORKER_LOST', 'the worker has closed its inference processes');
}
