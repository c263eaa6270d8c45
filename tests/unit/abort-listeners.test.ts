import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { createAbortListeners } from '../../src/async/abort-listeners.ts';

test('a signal that many listen to has one listener, which tells those that still do, each once', () => {
  const onAbort = createAbortListeners();
  const gone = new AbortController();
  const told: number[] = [];
  const forget = [0, 1, 2].map((i) => onAbort(gone.signal, () => told.push(i)));
  expect(getEventListeners(gone.signal, 'abort')).toHaveLength(1);
  forget[1]?.();
  gone.abort();
  gone.abort();
  expect(told).toEqual([0, 2]);
});

test('who listens to a signal that has aborted is told at once', () => {
  const onAbort = createAbortListeners();
  const told: string[] = [];
  onAbort(AbortSignal.abort(), () => told.push('first'));
  onAbort(AbortSignal.abort(), () => told.push('second'));
  expect(told).toEqual(['first', 'second']);
});

test('one that ends another while it is told keeps that one from being told', () => {
  const onAbort = createAbortListeners();
  const gone = new AbortController();
  const told: string[] = [];
  onAbort(gone.signal, () => forget());
  const forget = onAbort(gone.signal, () => told.push('ended'));
  gone.abort();
  expect(told).toEqual([]);
});
