/** The id is the hash tag: all that is ever kept of a task is on one node of a cluster. */
export function taskKeyOf(id: string): string {
  return `foretell:{${id}}`;
}

/** Where its inputs are, if they are too large for a message. */
export function inputsKeyOf(id: string): string {
  return `${taskKeyOf(id)}:inputs`;
}
