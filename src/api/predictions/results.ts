import type { TaskStore } from '../../store/store.ts';
import type { Task } from '../../task/task.ts';
import { byteLengths } from '../../tensor/tensor.ts';
import { isTaskId } from './submission-id.ts';

/** Tasks read at a time, as far as their results are small. */
export const READ_MAX = 100;

/** Told how many bytes of outputs of each task were read for an answer; throws where that is more than it may hold. */
export type Hold = (bytes: number) => void;

/** The tasks, in the order asked; `undefined` for what is unknown, or another owner's. */
export async function readTasks(
  store: TaskStore,
  given: readonly string[],
  owner: string,
  hold?: Hold,
): Promise<(Task | undefined)[]> {
  const ids = given.filter(isTaskId);
  const tasks: (Task | undefined)[] = [];
  while (tasks.length < ids.length) {
    const read = await store.get(ids.slice(tasks.length, tasks.length + READ_MAX), owner);
    for (const task of read) hold?.(outputBytes(task));
    tasks.push(...read);
  }
  return ids.length === given.length ? tasks : given.map((id) => (isTaskId(id) ? tasks.shift() : undefined));
}

/** What a task's result takes. */
export function outputBytes(task: Task | undefined): number {
  return byteLengths(task?.result?.outputs ?? []);
}
