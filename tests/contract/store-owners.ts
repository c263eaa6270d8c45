import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import type { TaskStore } from '../../src/store/store.ts';
import type { Submission } from '../../src/task/task.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { created, newSubmission, running, succeeded } from './store-samples.ts';

const MIB = 2 ** 20;

/** To whom a store shows a task. */
export function ownerTests(use: () => TaskStore): void {
  async function withResult(owner: string, bytes: number): Promise<Submission> {
    const submission = await created(use(), { owner });
    const outputs: Tensor[] = [{ name: 'y', datatype: 'UINT8', shape: [bytes], data: new Uint8Array(bytes) }];
    await use().transition(submission.id, succeeded(submission, outputs));
    return submission;
  }

  test('where an owner asks, the tasks of others are unknown, and take no part in what one call reads', async () => {
    const [own, theirs] = [await withResult('ann', 10), await withResult('bob', 9 * MIB)];
    const ids = [theirs.id, own.id, randomUUID(), theirs.id, own.id];
    const expected = [undefined, own.id, undefined, undefined, own.id];
    expect((await use().get(ids, 'ann')).map((task) => task?.id)).toEqual(expected);
    expect((await use().heads(ids, 'ann')).map((head) => head?.id)).toEqual(expected);
    expect((await use().get([theirs.id], 'bob'))[0]?.result?.outputs[0]?.shape).toEqual([9 * MIB]);
    expect((await use().get([theirs.id]))[0]?.id).toBe(theirs.id);
  });

  test.each([
    ['x', 'x","model":{"name":"iris'],
    ['x', 'xx'],
    ['xx', 'x'],
    ['', 'x'],
    ['a|b\n"ünï" \\', 'a|b\n"ünï" \\\\'],
    ['%d+', '1'],
  ])('an owner called %j is not one called %j', async (owner, other) => {
    const { id } = await created(use(), { owner });
    const content = `"owner":${JSON.stringify(other)}`;
    const waiting = await created(use(), { owner, content });
    await use().transition(waiting.id, running({ ...waiting, owner: other }));
    const ids = [id, waiting.id];
    expect((await use().get(ids, owner)).map((task) => task?.id)).toEqual(ids);
    expect(await use().get(ids, other)).toEqual([undefined, undefined]);
    expect((await use().heads(ids, owner)).map((head) => head?.id)).toEqual(ids);
    expect(await use().heads(ids, other)).toEqual([undefined, undefined]);
  });

  test('heads that several owners ask for at once are each their own', async () => {
    const [anns, bobs] = [await created(use(), { owner: 'ann' }), await created(use(), { owner: 'bob' })];
    const ids = [anns.id, bobs.id];
    const asked = await Promise.all([use().heads(ids, 'ann'), use().heads(ids, 'bob'), use().heads(ids)]);
    const seen = asked.map((heads) => heads.map((head) => head?.owner));
    expect(seen).toEqual([
      ['ann', undefined],
      [undefined, 'bob'],
      ['ann', 'bob'],
    ]);
  });

  test('a task without a record is unknown to everybody', async () => {
    const { id } = newSubmission();
    expect(await use().get([id], 'ann')).toEqual([undefined]);
    await use().transition(id, { to: 'WITHDRAWN', at: 1 });
    expect(await use().get([id], 'ann')).toEqual([undefined]);
    expect(await use().heads([id], '')).toEqual([undefined]);
  });
}
