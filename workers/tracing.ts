import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Logger } from 'pino';
import type { Attributes, HrTime } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { ApplicationFailure, defaultPayloadConverter } from '@temporalio/common';
import type {
  ActivityInboundCallsInterceptor,
  InjectedSinks,
  WorkerOptions,
} from '@temporalio/worker';
import {
  TRACE_HEADER,
  contextIn,
  type TraceContext,
  type TracedRun,
  type TraceSinks,
} from '../contract/trace-context';

export interface TracingOptions {
  /** Base address of an OpenTelemetry collector that takes OTLP over HTTP; no tracing if absent. */
  readonly traceTo?: string;
}

/** An http(s) address without the path of the signal, as the standard variable has it. */
function collectorUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol))
    throw new InvalidArgumentError('must be an address such as http://127.0.0.1:4318');
  return text.replace(/\/+$/, '');
}

export const withTracingOptions = (command: Command): Command =>
  command.addOption(
    new Option(
      '--trace-to <url>',
      'send OpenTelemetry traces to this collector, by OTLP over HTTP, e.g. http://127.0.0.1:4318',
    )
      .env('OTEL_EXPORTER_OTLP_ENDPOINT')
      .argParser(collectorUrl),
  );

/** What a worker needs to trace, and how the process ends it. */
export interface Tracing {
  readonly workerOptions: Pick<WorkerOptions, 'sinks' | 'interceptors'>;
  /** Sends what is left, for at most a few seconds; any failure is logged only. */
  stop(): Promise<void>;
}

/** A span as it is when it is over: nothing here needs one that is open. */
interface FinishedSpan {
  readonly name: string;
  readonly context: TraceContext;
  readonly parentSpanId: string | null;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly attributes: Attributes;
  /** Why it failed; null if it did not. */
  readonly failure: string | null;
}

/** Spans kept for sending: those of a host of 256 VMs, all serviced at once. More are dropped. */
const QUEUE = 32_768;
const STOP_WITHIN_MS = 3_000;

/**
 * Sends a span for every run that ends here, and one for every attempt of an activity that is performed here. They are
 * sent in batches, seconds later: a collector that is slow or down costs a blackout nothing.
 */
export async function startTracing(
  { traceTo }: TracingOptions,
  serviceName: string,
  logger: Logger,
): Promise<Tracing | undefined> {
  if (traceTo === undefined) return undefined;
  // Loaded only here: it costs every start a tenth of a second.
  const [{ DiagLogLevel, SpanKind, SpanStatusCode, diag }, sdk, exporter, resources] =
    await Promise.all([
      import('@opentelemetry/api'),
      import('@opentelemetry/sdk-trace'),
      import('@opentelemetry/exporter-trace-otlp-http'),
      import('@opentelemetry/resources'),
    ]);
  const say = (message: string) => {
    logger.warn(`tracing: ${message}`);
  };
  const quiet = () => undefined;
  diag.setLogger(
    { error: say, warn: say, info: quiet, debug: quiet, verbose: quiet },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
  const batches = new sdk.BatchSpanProcessor({
    exporter: new exporter.OTLPTraceExporter({ url: `${traceTo}/v1/traces` }),
    maxQueueSize: QUEUE,
  });
  const resource = resources.resourceFromAttributes({ 'service.name': serviceName });
  const newIds = new sdk.RandomIdGenerator();

  const send = (span: FinishedSpan) => {
    const { traceId, spanId } = span.context;
    const place = (id: string) => ({ traceId, spanId: id, traceFlags: 1 });
    const finished: ReadableSpan = {
      name: span.name,
      kind: SpanKind.INTERNAL,
      spanContext: () => place(spanId),
      ...(span.parentSpanId === null ? {} : { parentSpanContext: place(span.parentSpanId) }),
      startTime: hrTime(span.startedAtMs),
      endTime: hrTime(span.endedAtMs),
      duration: hrTime(Math.max(0, span.endedAtMs - span.startedAtMs)),
      status:
        span.failure === null
          ? { code: SpanStatusCode.UNSET }
          : { code: SpanStatusCode.ERROR, message: span.failure },
      attributes: span.attributes,
      links: [],
      events: [],
      ended: true,
      resource,
      instrumentationScope: { name: 'holdfast' },
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
    };
    batches.onEnd(finished);
  };

  const sinks: InjectedSinks<TraceSinks> = {
    // Not called at a replay, so a run ends once. The end is this moment: the sandbox's clock stands still in a task.
    traces: {
      runEnded: {
        fn: (_info, run) => {
          send(spanOfRun(run));
        },
      },
    },
  };
  return {
    workerOptions: {
      sinks,
      interceptors: {
        activity: [({ info }) => ({ inbound: tracedActivity(info, send, newIds) })],
      },
    },
    stop: async () => {
      const late = new Promise<void>((resolve) => void setTimeout(resolve, STOP_WITHIN_MS).unref());
      await Promise.race([batches.shutdown(), late]).catch((error: unknown) => {
        say(error instanceof Error ? error.message : String(error));
      });
    },
  };
}

const spanOfRun = (run: TracedRun): FinishedSpan => ({
  name: run.workflowType,
  context: run.own,
  parentSpanId: run.parentSpanId,
  startedAtMs: run.startedAtMs,
  endedAtMs: Date.now(),
  attributes: { ...run.attributes, end: run.end },
  failure: run.end === 'failed' ? (run.message ?? 'failed') : null,
});

interface ActivityInfo {
  readonly activityType: string;
  readonly attempt: number;
  readonly workflowExecution?: { readonly workflowId: string; readonly runId: string };
}

/** An activity of a run that is not traced has no trace to belong to, and gets no span. */
function tracedActivity(
  info: ActivityInfo,
  send: (span: FinishedSpan) => void,
  newIds: { generateSpanId(): string },
): ActivityInboundCallsInterceptor {
  return {
    execute: async (input, next) => {
      const carrier = input.headers[TRACE_HEADER];
      const parent =
        carrier == null ? undefined : contextIn(defaultPayloadConverter.fromPayload(carrier));
      if (parent === undefined) return next(input);
      // Wall time to the microsecond, or the steps of a host of zero latency would all look as if they took no time.
      const from = performance.now();
      const startedAtMs = performance.timeOrigin + from;
      let failure: string | null = null;
      let answered: Attributes = {};
      try {
        const answer = await next(input);
        answered = ofAnswer(answer);
        return answer;
      } catch (error) {
        failure = error instanceof Error ? error.message : String(error);
        if (error instanceof ApplicationFailure && error.type != null)
          answered = { failure: error.type };
        throw error;
      } finally {
        send({
          name: info.activityType,
          context: { traceId: parent.traceId, spanId: newIds.generateSpanId() },
          parentSpanId: parent.spanId,
          startedAtMs,
          endedAtMs: performance.timeOrigin + performance.now(),
          attributes: {
            attempt: info.attempt,
            ...info.workflowExecution,
            ...ofCall(input.args),
            ...answered,
          },
          failure,
        });
      }
    },
  };
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

/** Those of the fields that are text or numbers. */
function picked(from: unknown, fields: Readonly<Record<string, string>>): Attributes {
  if (!isRecord(from)) return {};
  return Object.fromEntries(
    Object.entries(fields).flatMap(([field, name]) => {
      const value = from[field];
      return typeof value === 'string' || typeof value === 'number' ? [[name, value]] : [];
    }),
  );
}

/** Which host and VM, named as the search attributes of the runs are. Host calls take either a call or the host's id. */
const ofCall = ([call]: readonly unknown[]): Attributes =>
  picked(call, {
    hostId: 'HostId',
    vmId: 'VmId',
    generation: 'generation',
    direction: 'direction',
  });

/** The span of an issued step lasts until it is answered: its own time, and how often the host tried it, are in the answer. */
const ofAnswer = (answer: unknown): Attributes =>
  picked(answer, {
    status: 'status',
    reason: 'reason',
    attempts: 'attempts',
    ms: 'ms',
    darkForMs: 'darkForMs',
  });

const hrTime = (ms: number): HrTime => {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)];
};
