import { isTerminal } from '../../src/task/task.ts';
import type { Ledger } from './ledger.ts';
import type { SimulatedBroker } from './simulated-broker.ts';

/** A command that was sent in time may be carried out so much later: what was lost on the way may be sent three times. */
const ANSWER_MS = 6_000;

type Changes = NonNullable<ReturnType<Ledger['changes']['get']>>;

/** What is wrong with the way of one task through its states, as the store carried it out. */
export function judgeChanges(ledger: Ledger, broker: SimulatedBroker, clocksDifferMs: number): string[] {
  return [...ledger.changes].flatMap(([id, changes]) => {
    const broken = [
      ...afterTheEnd(changes, ledger.flushedAt),
      ...begunTooLate(changes, clocksDifferMs),
      ...(broker.copiesMax(id) === 1 ? forgottenAttempts(changes, broker.publishedAgain(id)) : []),
    ];
    return broken.map((what) => `${id} ${what}`);
  });
}

function afterTheEnd(changes: Changes, flushedAt = Number.NEGATIVE_INFINITY): string[] {
  const end = changes.find(({ after }) => isTerminal(after.state));
  // A store that loses its records forgets, too, that a task has ended.
  if (!end || end.at <= flushedAt) return [];
  const later = changes.slice(changes.indexOf(end) + 1);
  return later.map(({ change, at }) => `was ${end.after.state}, and then ${change.to} (${at - end.at} ms later)`);
}

function begunTooLate(changes: Changes, clocksDifferMs: number): string[] {
  const begun = changes.find(({ change }) => change.to === 'RUNNING');
  const lateMs = begun ? begun.at - (begun.after.submission?.expiresAt ?? Number.POSITIVE_INFINITY) : 0;
  return lateMs > ANSWER_MS + clocksDifferMs ? [`was begun ${lateMs} ms after its time was over`] : [];
}

/** Each message that was published again carries the count of the attempts before it: also a store that lost the record knows it again. */
function forgottenAttempts(changes: Changes, publishedAgain: readonly number[]): string[] {
  const counts = changes.flatMap(({ change, at }) =>
    change.to === 'QUEUED' && change.handedBack === undefined ? [{ at, attempts: change.attemptsBefore }] : [],
  );
  return changes.flatMap(({ change, after, at }) => {
    const carried = counts.map((count, i) => {
      const until = Math.min(at, counts[i + 1]?.at ?? at);
      return publishedAgain.some((then) => count.at <= then && then < until) ? count.attempts : 0;
    });
    const most = Math.max(0, ...carried);
    return change.to !== 'RUNNING' || after.attempts > most ? [] : [`forgot ${most} attempts`];
  });
}

/** Nothing runs that was not claimed before, by the worker that runs it, while it was not over. */
export function judgeRuns({ given, starts, changes }: Ledger): string[] {
  return [...given.values()].flatMap(({ id, numbers }) =>
    numbers.flatMap((number) =>
      (starts.get(number) ?? []).flatMap(({ at, machine }) => {
        const isClaim = ({ change, by, at: then }: Changes[number]) =>
          change.to === 'RUNNING' && by === machine && then <= at;
        return changes.get(id)?.some(isClaim) ? [] : [`task ${number} ran on ${machine.name} without a claim`];
      }),
    ),
  );
}
