import { Registry } from 'prom-client';
import type { ErrorCode } from '../errors.ts';
import type { TaskState } from '../task/task.ts';
import { createKnownModels, REFUSALS } from './known-models.ts';
import { createModelLabel } from './model-label.ts';
import { type Observed, observe } from './observed.ts';
import { processRegistry } from './process-registry.ts';
import { createSeries } from './series.ts';

/** The connections that come back by themselves, each of which may do so unnoticed by anybody but a counter. */
export const CONNECTIONS = [
  'broker publishing',
  'broker consuming',
  'redis commands',
  'redis large',
  'redis subscriber',
] as const;

export type ConnectionName = (typeof CONNECTIONS)[number];

/**
 * What a process counts, told by those who do it. A `model` is a name from a registration, never one that a client wrote:
 * each is a series for as long as the process runs.
 */
export interface Metrics {
  /** A submission was accepted: its id was given out. */
  accepted(of: { model: string }): void;
  /** A submission was refused; without a `model` where none of that name is known. */
  refused(of: { model?: string | undefined; code: ErrorCode }): void;
  /** A task was claimed for the first time. */
  begun(of: { model: string; queuedMs: number }): void;
  /** One run of a model, of one task or of several: counted once. */
  ran(of: { model: string; runMs: number; batchSize: number }): void;
  /** A task reached its terminal state; to be told by the one whose change was carried out. */
  ended(of: { model: string; state: TaskState; totalMs: number }): void;
  /** A task is to be tried again: one more attempt. */
  retried(of: { model: string }): void;
  /** A task went back without an attempt. */
  returned(of: { model: string }): void;
  /** A message became a dead letter; without a `model` where it says none. */
  deadLettered(of: { model?: string | undefined }): void;
  /** A message was dropped because its task had ended. */
  duplicateDropped(of: { model: string }): void;
  /** A task of a shared run was run again alone, to compare. */
  sharingChecked(of: { model: string }): void;
  /** What came of that ended the sharing of the model's runs. */
  sharingEnded(of: { model: string }): void;
  /** A connection that was lost is there again. */
  reconnected(connection: ConnectionName): void;
  /** Has the series of these models exist, at 0, as far as a process counts what it does: one that submits, or one that runs. */
  know(models: readonly string[], does: 'submits' | 'runs'): void;
  /** Has something asked at each scrape, from then on; who says it last is asked. */
  observe(observed: Partial<Observed>): void;
  /** Everything, in Prometheus's text format, which `contentType` names. */
  exposition(): Promise<string>;
  readonly contentType: string;
}

/** Metrics of one process, with those of Node itself; nothing is shared with others that the process may have. */
export function createMetrics(): Metrics {
  const registry = Registry.merge([processRegistry()]);
  const series = createSeries(registry);
  // A series that appears with its first event hides that event from `rate()`.
  for (const connection of CONNECTIONS) series.reconnects.inc({ connection }, 0);
  for (const code of REFUSALS) series.refused.inc({ model: '', code }, 0);
  series.deadLetters.inc({ model: '' }, 0);

  const labelOf = createModelLabel();
  const mayEnd = (model: string, states: readonly TaskState[]) => {
    for (const state of states) series.ended.inc({ model, state }, 0);
    for (const state of states) series.taskSeconds.zero({ model, state });
  };
  return {
    accepted: ({ model }) => series.accepted.inc({ model: labelOf(model) }),
    refused: ({ model, code }) => series.refused.inc({ model: labelOf(model), code }),
    begun: ({ model, queuedMs }) => series.queuedSeconds.observe({ model: labelOf(model) }, seconds(queuedMs)),
    ran({ model: name, ...run }) {
      const model = labelOf(name);
      series.runSeconds.observe({ model }, seconds(run.runMs));
      series.batchSize.observe({ model }, run.batchSize);
    },
    ended({ model, state, totalMs }) {
      const labels = { model: labelOf(model), state };
      series.ended.inc(labels);
      series.taskSeconds.observe(labels, seconds(totalMs));
    },
    retried: ({ model }) => series.retries.inc({ model: labelOf(model) }),
    returned: ({ model }) => series.returns.inc({ model: labelOf(model) }),
    deadLettered: ({ model }) => series.deadLetters.inc({ model: labelOf(model) }),
    duplicateDropped: ({ model }) => series.duplicates.inc({ model: labelOf(model) }),
    sharingChecked: ({ model }) => series.sharingChecks.inc({ model: labelOf(model) }),
    sharingEnded: ({ model }) => series.sharingEnds.inc({ model: labelOf(model) }),
    know: createKnownModels(labelOf, {
      submits(model) {
        series.accepted.inc({ model }, 0);
        for (const code of REFUSALS) series.refused.inc({ model, code }, 0);
        mayEnd(model, ['CANCELLED', 'EXPIRED']);
      },
      runs(model) {
        for (const each of [series.retries, series.returns, series.deadLetters, series.duplicates])
          each.inc({ model }, 0);
        for (const each of [series.sharingChecks, series.sharingEnds]) each.inc({ model }, 0);
        for (const each of [series.queuedSeconds, series.runSeconds, series.batchSize]) each.zero({ model });
        mayEnd(model, ['SUCCEEDED', 'FAILED']);
      },
    }),
    reconnected: (connection) => series.reconnects.inc({ connection }),
    observe: (observed) => observe(registry, observed, labelOf),
    exposition: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

/** Two machines' clocks differ: a task may seem to be claimed before it was submitted. */
function seconds(ms: number): number {
  return Math.max(0, ms) / 1_000;
}
