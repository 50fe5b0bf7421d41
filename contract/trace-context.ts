/**
 * Where in a trace something belongs, as W3C Trace Context writes it. `traceId`: 32 hexadecimal digits, one for all
 * that a person's start set going; `spanId`: 16 of them, what the next span is a child of.
 */
export interface TraceContext {
  readonly traceId: string;
  readonly spanId: string;
}

/**
 * The header that carries it from a run to its activities and children: `{"traceparent": "00-…"}`. The name is the one
 * that Temporal's own OpenTelemetry interceptors use, so the trace of a client that has them goes on here.
 */
export const TRACE_HEADER = '_tracer-data';

/** What a run tells of itself when it ends. */
export interface TracedRun {
  readonly workflowType: string;
  readonly own: TraceContext;
  /** The span of the run, or client, that started it. */
  readonly parentSpanId: string | null;
  /** ms since 1970. */
  readonly startedAtMs: number;
  readonly end: 'completed' | 'continuedAsNew' | 'cancelled' | 'failed';
  /** The failure's message, of a run that failed. */
  readonly message: string | null;
  readonly attributes: Readonly<Record<string, string>>;
}

/** The sinks through which workflow code tells them. */
export type TraceSinks = { readonly traces: { runEnded(run: TracedRun): void } };

const digits = (uuid: string): string => uuid.replaceAll('-', '').toLowerCase();

/**
 * The context of a run. It follows from ids that the server gave out, so a replay comes to the same one without drawing
 * a random number, which would change every id that the workflow draws after it.
 */
export const contextOfRun = (
  { runId, firstRunId }: { readonly runId: string; readonly firstRunId: string },
  parent: TraceContext | undefined,
): TraceContext => ({
  traceId: parent?.traceId ?? digits(firstRunId),
  spanId: digits(runId).slice(16),
});

/** Always sampled: who wants fewer spans lets the collector choose. */
export const traceparentOf = ({ traceId, spanId }: TraceContext): string =>
  `00-${traceId}-${spanId}-01`;

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/;

/** Undefined for anything that is not a carrier with a `traceparent` of version 00. */
export function contextIn(carrier: unknown): TraceContext | undefined {
  if (typeof carrier !== 'object' || carrier === null || !('traceparent' in carrier))
    return undefined;
  const [, traceId, spanId] = TRACEPARENT.exec(String(carrier.traceparent)) ?? [];
  return traceId === undefined || spanId === undefined ? undefined : { traceId, spanId };
}
