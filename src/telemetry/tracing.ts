/** What a span tells beside its name and its times: of models, tasks and messages, never of their inputs. */
export type Attributes = Record<string, string | number | boolean>;

/** Which side of a call or a message a span is on. */
export type SpanKind = 'internal' | 'server' | 'producer' | 'consumer';

export interface SpanOptions {
  /** @default 'internal' */
  kind?: SpanKind;
  /** The `traceparent` of what caused this, as it arrived: one that is malformed counts as none, and begins a trace. */
  parent?: string | undefined;
  /** Asked only where something is traced. */
  attributes?: () => Attributes;
}

/** Something that takes time, from its start to its `end`. */
export interface Span {
  /** Names it to others, as W3C Trace Context writes it; `undefined` where nothing is traced. */
  readonly traceparent: string | undefined;
  set(attributes: Attributes): void;
  /** Ends it, as failed if with an error. Not ended, it is never told. */
  end(error?: unknown): void;
}

/**
 * Tells where the time of a task goes, across processes. Parents are handed on by name (in a header, a message, a record),
 * never found in the surroundings. No method throws, and none waits for the collector but `close`.
 */
export interface Tracing {
  /** Starts a span; the caller ends it. */
  start(name: string, options: SpanOptions): Span;
  /** The span of `work`, which ends with it. */
  span<T>(name: string, options: SpanOptions, work: (span: Span) => Promise<T>): Promise<T>;
  /** Sends what has ended, within two seconds or not at all. */
  close(): Promise<void>;
}

const NO_SPAN: Span = { traceparent: undefined, set: () => undefined, end: () => undefined };

/** Where no collector is set. */
export const NO_TRACING: Tracing = {
  start: () => NO_SPAN,
  span: (_name, _options, work) => work(NO_SPAN),
  close: () => Promise.resolve(),
};
