import type { Lane } from '../../src/broker/topology.ts';
import { type BatchItem, dueBatch, type Line, type Moment } from './batch-line.ts';
import type { Batch } from './joined-tasks.ts';

/** While both lanes wait, one run in so many begins with the oldest task of the normal one: high overtakes, and starves nobody. */
export const NORMAL_SHARE = 4;

/** What could run next: the higher its level, the more its owner used lately. */
interface Candidate<T> {
  line: Line<T>;
  batch: Batch<T>;
  level: number;
}

/** Whose turn it is: the lane's, and in it the task that goes first. */
export class NextBatch<M, T extends BatchItem<M>> {
  /** Runs in a row that began with a high task while a normal one could have begun. */
  #passedOver = 0;

  /** `undefined` if no batch is due. */
  choose(lines: readonly Line<T>[], moment: Moment): Candidate<T> | undefined {
    const [high, normal] = [this.#first(lines, 'high', moment), this.#first(lines, 'normal', moment)];
    if (high && normal && high.level !== normal.level) return high.level < normal.level ? high : normal;
    const isNormalsTurn = !high || this.#passedOver >= NORMAL_SHARE - 1;
    if (normal && isNormalsTurn) {
      this.#passedOver = 0;
      return normal;
    }
    if (high && normal) this.#passedOver += 1;
    return high;
  }

  #first(lines: readonly Line<T>[], lane: Lane, moment: Moment): Candidate<T> | undefined {
    let found: Candidate<T> | undefined;
    for (const line of lines) {
      const batch = dueBatch(line, lane, moment);
      if (!batch) continue;
      const { owner, arrivedAt } = batch[0].item;
      const level = line.limits.costs?.levelOf(owner, moment.at) ?? 0;
      const isBefore =
        !found || level < found.level || (level === found.level && arrivedAt < found.batch[0].item.arrivedAt);
      if (isBefore) found = { line, batch, level };
    }
    return found;
  }
}
