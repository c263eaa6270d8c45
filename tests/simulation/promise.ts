import { taskOf } from '../../src/task/record.ts';
import { isTerminal, type Task } from '../../src/task/task.ts';
import { elementsOf } from '../../src/tensor/tensor-values.ts';
import { judgeChanges, judgeRuns } from './judge-changes.ts';
import { KNOWN } from './known.ts';
import type { Given, Ledger } from './ledger.ts';
import { clocksDifferMs, isCalm, isLarge, isStoreSure, type Scenario } from './scenario.ts';
import { type Behaviour, outputOf } from './simulated-pool.ts';
import type { Past } from './world.ts';

/** Every promise that was broken in a world that is over, one sentence each. */
export function brokenPromises(scenario: Scenario, past: Past): string[] {
  const { ledger, store, broker } = past;
  const broken = [...ledger.broken];
  for (const given of ledger.given.values()) {
    const record = store.record(given.id);
    const task = record && taskOf(record);
    // What a store that loses everything knew of an end is gone; a worker may have begun it again.
    if (hadEndedBeforeFlush(given.id, ledger)) continue;
    const found = task ? judgeEnd({ ...past, scenario }, given, task) : ['is not there any more'];
    broken.push(...found.map((what) => `${given.id} (${given.numbers.join(', ')}) ${what}`));
  }
  for (const id of store.payloadsKept()) {
    const record = store.record(id);
    if (record && isTerminal(record.state)) broken.push(`${id} is ${record.state}, and its inputs are still kept`);
  }
  return [...broken, ...judgeChanges(ledger, broker, clocksDifferMs(scenario)), ...judgeRuns(ledger)];
}

function hadEndedBeforeFlush(id: string, { flushedAt, changes }: Ledger): boolean {
  const ended = changes.get(id)?.find(({ after }) => isTerminal(after.state));
  return ended !== undefined && flushedAt !== undefined && ended.at <= flushedAt;
}

interface Judged extends Past {
  scenario: Scenario;
}

const ENDS: Record<Behaviour, readonly string[]> = {
  well: ['SUCCEEDED'],
  slowly: ['SUCCEEDED'],
  hangs: ['FAILED TIMEOUT', 'FAILED WORKER_LOST'],
  crashes: ['FAILED WORKER_LOST'],
  refuses: ['FAILED MODEL_ERROR'],
  nonsense: ['FAILED INVALID_OUTPUT'],
};

/** Where nothing goes wrong, an event comes sooner than a second reading, which is for those that were lost. */
const LATE_MS = 6_000;

/** How late a task may expire where nothing keeps the store from being asked. */
const EXPIRY_MS = 3_000;

/**
 * How long a task may take in a world that has recovered: until it is noticed that a machine is gone, through the retry ladder,
 * and once by the dead letters.
 */
const TASK_MS = 120_000;

function judgeEnd({ scenario, ledger, broker, recoveredAt }: Judged, { plans, numbers }: Given, task: Task): string[] {
  const broken: string[] = [];
  // Moments of the record are those of several machines' clocks.
  const differMs = clocksDifferMs(scenario);
  const end = task.error ? `${task.state} ${task.error.code}` : task.state;
  const ends = new Set(plans.flatMap(({ behaviour }) => ENDS[behaviour]));
  if (plans.some(({ cancelAfterMs }) => cancelAfterMs !== undefined)) ends.add('CANCELLED');
  if (plans.some(({ expiresInMs }) => expiresInMs !== undefined)) ends.add('EXPIRED');
  // Whoever ran it was lost as often as it may be tried.
  const isDrained = scenario.faults.some(({ kind }) => kind === 'drain worker');
  const isTakenOver = KNOWN.secondCopyTakesOver && isDrained && broker.copiesMax(task.id) > 1;
  if (isTakenOver || chargesOf(scenario) >= scenario.maxAttempts) ends.add('FAILED WORKER_LOST');
  if (isLarge(scenario) && ledger.flushedAt !== undefined) ends.add('FAILED INPUTS_LOST');
  if (!ends.has(end)) broken.push(`ended as ${end}, expected ${[...ends].join(' or ')}`);
  // Where the store has lost the record, or hears of a task that was handed back when that is tried again, the count is lower.
  if (task.error?.code === 'TIMEOUT' || task.error?.code === 'WORKER_LOST') {
    if (task.attempts < scenario.maxAttempts && isStoreSure(scenario))
      broken.push(`was given up after attempt ${task.attempts}`);
    if (task.attempts > scenario.maxAttempts + 1) broken.push(`was tried ${task.attempts} times`);
  }
  const tookMs = (task.completedAt ?? 0) - Math.max(task.submittedAt, recoveredAt);
  if (tookMs > TASK_MS + differMs) broken.push(`took ${tookMs} ms although nothing was in its way`);
  const [output] = task.result?.outputs ?? [];
  if (task.state === 'SUCCEEDED' && !(output && numbers.some((n) => elementsOf(output)[0] === outputOf(n)))) {
    broken.push(`has a wrong result: ${output && elementsOf(output).join(', ')}`);
  }
  const isEarly = task.state === 'EXPIRED' && (task.completedAt ?? 0) < (task.expiresAt ?? 0);
  if (isEarly && ledger.flushedAt === undefined) broken.push('expired too early');
  const expiredLateMs = task.state === 'EXPIRED' ? (task.completedAt ?? 0) - (task.expiresAt ?? 0) : 0;
  if (isCalm(scenario) && expiredLateMs > EXPIRY_MS + differMs) broken.push(`expired ${expiredLateMs} ms late`);
  if (isCalm(scenario) && task.state === 'SUCCEEDED' && task.attempts !== 1) {
    broken.push(`took ${task.attempts} attempts although nothing went wrong`);
  }
  for (const told of ledger.completions.filter(({ id }) => id === task.id)) {
    if (told.state !== task.state && ledger.flushedAt === undefined)
      broken.push(`is ${task.state}, a client was told ${told.state}`);
    const lateMs = told.at - Math.max(told.since, task.completedAt ?? 0);
    if (isCalm(scenario) && lateMs > LATE_MS + differMs) broken.push(`told its client after ${lateMs} ms`);
  }
  return broken;
}

/** How often anything happened that may cost a task an attempt which is none of its own. */
function chargesOf({ faults, clients }: Scenario): number {
  const count = (kinds: string[]) => faults.filter(({ kind }) => kinds.includes(kind)).length;
  const copies = 1 + count(['duplicate message']) + clients.filter(({ key }) => key !== undefined).length;
  return (
    copies * count(['kill worker', 'drain worker', 'kill inference process', 'cut worker from broker', 'broker away'])
  );
}
