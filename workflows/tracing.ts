import { defaultPayloadConverter, type Headers } from '@temporalio/common';
import {
  ContinueAsNew,
  isCancellation,
  proxySinks,
  workflowInfo,
  type WorkflowInterceptors,
} from '@temporalio/workflow';
import {
  TRACE_HEADER,
  contextIn,
  contextOfRun,
  traceparentOf,
  type TraceSinks,
  type TracedRun,
} from '../contract/trace-context';
import { failureMessage } from './failures';

declare global {
  /** Set by a worker that traces, in front of the workflow code (`workers/workflow-code.ts`). */
  var holdfastTraced: boolean | undefined;
}

const { traces } = proxySinks<TraceSinks>();

/**
 * Hands the trace context on to activities and children, and tells when the run ends. Nothing else: no call is made
 * later or earlier than without it, no promise is put between, no random number is drawn, no command is added. So a
 * history that was recorded with tracing replays without it, and the other way round. Temporal's own OpenTelemetry
 * interceptors put promises between, and some of our recorded fleet updates do not replay under them.
 */
export function interceptors(): WorkflowInterceptors {
  if (globalThis.holdfastTraced !== true) return {};
  let ours: Headers = {};
  const withContext = <Input extends { readonly headers: Headers }>(input: Input): Input => ({
    ...input,
    headers: { ...input.headers, ...ours },
  });
  return {
    inbound: [
      {
        execute: (input, next) => {
          const carrier = input.headers[TRACE_HEADER];
          const parent =
            carrier == null ? undefined : contextIn(defaultPayloadConverter.fromPayload(carrier));
          const { runId, firstExecutionRunId: firstRunId } = workflowInfo();
          const own = contextOfRun({ runId, firstRunId }, parent);
          ours = {
            [TRACE_HEADER]: defaultPayloadConverter.toPayload({ traceparent: traceparentOf(own) }),
          };
          const end = (how: Pick<TracedRun, 'end' | 'message'>) => {
            const { workflowType, runStartTime } = workflowInfo();
            traces.runEnded({
              workflowType,
              own,
              parentSpanId: parent?.spanId ?? null,
              startedAtMs: runStartTime.getTime(),
              ...how,
              attributes: attributes(),
            });
          };
          const ended = next(input);
          // Beside the result, not in its way: the caller gets the very promise that it would get without us.
          void ended.then(
            () => {
              end({ end: 'completed', message: null });
            },
            (error: unknown) => {
              end(howItFailed(error));
            },
          );
          return ended;
        },
      },
    ],
    outbound: [
      {
        scheduleActivity: (input, next) => next(withContext(input)),
        startChildWorkflowExecution: (input, next) => next(withContext(input)),
        continueAsNew: (input, next) => next(withContext(input)),
      },
    ],
  };
}

function howItFailed(error: unknown): Pick<TracedRun, 'end' | 'message'> {
  if (error instanceof ContinueAsNew) return { end: 'continuedAsNew', message: null };
  if (isCancellation(error)) return { end: 'cancelled', message: null };
  return { end: 'failed', message: failureMessage(error) };
}

/** What the run can be found by in the UI finds it among the traces too. */
function attributes(): Record<string, string> {
  const { workflowId, runId, typedSearchAttributes } = workflowInfo();
  return {
    workflowId,
    runId,
    ...Object.fromEntries(
      typedSearchAttributes.getAll().map(({ key, value }) => [key.name, String(value)]),
    ),
  };
}
