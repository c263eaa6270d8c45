import { readFile } from 'node:fs/promises';

/** The processes that a process has started and that are there still, from Linux's /proc. Rejects if it is gone itself. */
export async function childPids(pid: number): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return children.trim().split(' ').filter(Boolean).map(Number);
}
