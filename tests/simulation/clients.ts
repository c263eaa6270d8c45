import type { Predictions } from '../../src/api/predictions/predictions.ts';
import { AppError } from '../../src/errors.ts';
import { isTerminal } from '../../src/task/task.ts';
import { type ClientOptions, OWNER } from './client-options.ts';
import type { ClientPlan } from './scenario.ts';
import { inputOf } from './simulated-pool.ts';
import { follow } from './subscriber.ts';

/** Tasks are numbered by their client, or by the key that clients share; the number is their input. */
function numberOf(client: number, { key }: ClientPlan, place: number): number {
  return key === undefined ? 10 * client + place : 1_000 + key.charCodeAt(0);
}

/** Does what one plan says, as a client would: it comes back where its API died, and ends when it knows how its tasks ended. */
export async function runClient(client: number, plan: ClientPlan, options: ClientOptions): Promise<void> {
  const { setting, anApi, model, ledger } = options;
  const { time, random, trace } = setting;
  const wait = (ms: number) => new Promise<void>((resolve) => void time.after(ms, resolve));

  /** Asks an API; `undefined` if that dies meanwhile. */
  async function askOnce<T>(question: (api: Predictions) => Promise<T>): Promise<T | AppError | undefined> {
    const { machine, predictions } = await anApi();
    try {
      return await Promise.race([machine.run(() => question(predictions)), machine.dead.then(() => undefined)]);
    } catch (error) {
      if (error instanceof AppError) return error;
      throw error;
    }
  }

  /** Asks another one where it dies, and waits out what is said to pass. */
  async function ask<T>(question: (api: Predictions) => Promise<T>): Promise<T | AppError> {
    for (;;) {
      const answer = await askOnce(question);
      if (answer !== undefined && !(answer instanceof AppError && answer.retryable)) return answer;
      await wait(random.integer(50, 1_000));
    }
  }

  /** What was submitted without a key is not asked for again: nobody knows whether it was queued. */
  async function submit(): Promise<string[]> {
    const request = (_: unknown, place: number) => {
      const inputs = [inputOf(numberOf(client, plan, place), plan.behaviour)];
      return { model, door: 'typed', inputs, path: [] } as const;
    };
    const lane = plan.isHigh ? 'high' : 'normal';
    const { expiresInMs, key: idempotencyKey, waitMs } = plan;
    const question = (api: Predictions) =>
      api.submit(
        Array.from({ length: plan.count }, request).map((each) => ({ ...each, path: [] })),
        { owner: OWNER, lane, expiresInMs, idempotencyKey, waitMs },
      );
    const answer = idempotencyKey === undefined ? await askOnce(question) : await ask(question);
    if (Array.isArray(answer)) return answer.map(({ id }) => id);
    if (answer) trace('client', client, 'was refused:', answer.message);
    if (answer && !answer.retryable) ledger.broken.push(`client ${client} was refused: ${answer.message}`);
    return [];
  }

  async function cancel(id: string): Promise<void> {
    const answer = await ask((api) => api.cancel(id, OWNER));
    trace('client', client, 'cancelled', id, answer instanceof AppError ? answer.message : answer.state);
    if (ledger.flushedAt !== undefined) return;
    if (answer instanceof AppError) ledger.broken.push(`the cancel of ${id} was answered: ${answer.message}`);
    else if (!isTerminal(answer.state)) ledger.broken.push(`the cancel of ${id} left it ${answer.state}`);
  }

  await wait(plan.submitAt);
  const ids = await submit();
  for (const [place, id] of ids.entries()) {
    trace('client', client, 'was given', id);
    const { numbers = [], plans = [] } = ledger.given.get(id) ?? {};
    const all = new Set([...numbers, numberOf(client, plan, place)]);
    ledger.given.set(id, { id, numbers: [...all], plans: [...plans, plan] });
  }
  const [first] = ids;
  if (first === undefined) return;
  await Promise.all([
    ...plan.subscribeAfterMs.map((ms) => wait(ms).then(() => follow('completions', ids, options))),
    plan.followsUpdates && follow('updates', [first], options),
    plan.cancelAfterMs !== undefined && wait(plan.cancelAfterMs).then(() => cancel(first)),
  ]);
}
