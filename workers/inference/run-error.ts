import type { TaskError } from '../../src/task.ts';

/** A run that gave no result: what went wrong, as its task will say. */
export class RunError extends Error {
  readonly code: TaskError['code'];
  /** Whether its process is lost: it died, or is being killed. */
  readonly isLethal: boolean;

  constructor(code: TaskError['code'], message: string, isLethal = code === 'TIMEOUT' || code === 'WORKER_LOST') {
    super(message);
    this.name = new.target.name;
    this.code = code;
    this.isLethal = isLethal;
  }
}

export function poolClosed(): RunError {
  return new RunError('WORKER_LOST', 'the worker has closed its inference processes');
}
