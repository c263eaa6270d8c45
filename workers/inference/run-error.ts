import type { TaskError } from '../../src/task/task.ts';

/** Why a run gives no result. That a result does not fit into the store is found only after the run. */
type RunErrorCode = Exclude<TaskError['code'], 'STORE_FULL'>;

/** A run that gave no result: what went wrong, as its task will say. */
export class RunError extends Error {
  readonly code: RunErrorCode;
  /** Whether its process is lost: it died, or is being killed. */
  readonly isLethal: boolean;

  constructor(code: RunErrorCode, message: string, isLethal = code === 'TIMEOUT' || code === 'WORKER_LOST') {
    super(message);
    this.name = new.target.name;
    this.code = code;
    this.isLethal = isLethal;
  }
}

/** The process was lost while it ran, or the run took too long: another run of the same may end in the same way. */
export class RunLost extends RunError {}

export function poolClosed(): RunError {
  return new RunError('WORKER_LOST', 'the worker has closed its inference processes');
}
