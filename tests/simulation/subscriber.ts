import type { Predictions } from '../../src/api/predictions/predictions.ts';
import { AppError } from '../../src/errors.ts';
import { isTerminal, type Task } from '../../src/task/task.ts';
import { type ClientOptions, OWNER } from './client-options.ts';
import type { Ledger } from './ledger.ts';

type Kind = 'completions' | 'updates';

interface Told extends Task {
  toldAt: number;
}

/** How a stream ended: by itself, because its API died, or because the tasks are not known (any more). */
type End = { told: Told[]; since: number; end: 'complete' | 'cut' | 'unknown' };

const CUT = Symbol('the API died');

/** Subscribes, again and again where the stream is cut, until it is told how each task ended. */
export async function follow(kind: Kind, ids: readonly string[], options: ClientOptions): Promise<void> {
  const { setting, ledger } = options;
  const { time, random } = setting;
  for (;;) {
    const stream = await followOnce(kind, ids, options);
    const { told, end } = stream;
    if (end === 'complete') return judge(kind, ids, stream, ledger);
    if (end === 'unknown') {
      const missing = ids.filter((id) => !told.some((task) => task.id === id));
      // What a store that loses everything had of an end is gone; the rest comes back from the messages.
      if (missing.every((id) => isGone(id, ledger))) return;
      if (ledger.flushedAt === undefined) {
        ledger.broken.push(`unknown to a subscription, though given out: ${missing.join(', ')}`);
        return;
      }
    }
    await new Promise<void>((resolve) => void time.after(random.integer(50, 1_000), resolve));
  }
}

function isGone(id: string, { flushedAt, changes }: Ledger): boolean {
  return flushedAt !== undefined && (changes.get(id) ?? []).some(({ after }) => isTerminal(after.state));
}

async function followOnce(kind: Kind, ids: readonly string[], { setting, anApi }: ClientOptions): Promise<End> {
  const { time, trace } = setting;
  const { machine, predictions } = await anApi();
  const cut = machine.dead.then(() => CUT);
  const told: Told[] = [];
  const since = time.now;
  try {
    const stream = await Promise.race([machine.run(() => open(kind, ids, predictions)), cut]);
    if (typeof stream === 'symbol') return { told, since, end: 'cut' };
    for (;;) {
      const item = await Promise.race([machine.run(() => stream.next()), cut]);
      if (typeof item !== 'object') return { told, since, end: 'cut' };
      if (item.done) return { told, since, end: 'complete' };
      if (item.value instanceof AppError) {
        await stream.return?.();
        return { told, since, end: 'unknown' };
      }
      trace('told by', kind, item.value.id, item.value.state);
      told.push({ ...item.value, toldAt: time.now });
    }
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { told, since, end: error.retryable ? 'cut' : 'unknown' };
  }
}

function open(kind: Kind, ids: readonly string[], predictions: Predictions) {
  return kind === 'completions' ? predictions.completions(ids, OWNER) : predictions.updates(ids[0] ?? '', OWNER);
}

/** Each end once, nothing after it, and every update newer than the one before. */
function judge(
  kind: Kind,
  ids: readonly string[],
  { told, since }: End,
  { completions, broken, flushedAt }: Ledger,
): void {
  const states = () => told.map(({ id, state }) => `${id} ${state}`).join(', ') || 'nothing';
  const ends = told.filter(({ state }) => isTerminal(state));
  const isEach = ids.every((id) => ends.filter((task) => task.id === id).length === 1);
  const isAll = kind === 'completions' ? told.length === ids.length : told.at(-1) === ends[0];
  if (!isEach || !isAll) broken.push(`${kind} of ${ids.join(', ')} told ${states()}`);
  if (kind === 'completions')
    for (const { id, state, toldAt } of ends) completions.push({ id, state, since, at: toldAt });
  const goesBack = kind === 'updates' && told.some(({ revision }, i) => revision <= (told[i - 1]?.revision ?? -1));
  if (goesBack && flushedAt === undefined) broken.push(`updates of ${ids.join(', ')} went back: ${states()}`);
}
