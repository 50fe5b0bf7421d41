import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  ChildWorkflowFailure,
  TimeoutFailure,
  isCancellation,
  rootCause,
} from '@temporalio/workflow';
import { FAILURES, isFailureType, type FailureType } from '../contract/failures';

/** A failure of a workflow itself. Its message ends with what to do; `details` carry what is known so far. */
export function failure(
  type: FailureType,
  what: string,
  options: { readonly cause?: unknown; readonly details?: unknown } = {},
): ApplicationFailure {
  const { cause, details } = options;
  const { nextAction } = FAILURES[type];
  return ApplicationFailure.create({
    type,
    message: `${withoutNextActions(what)} ${nextAction}`,
    nonRetryable: true,
    ...(details === undefined ? {} : { details: [details] }),
    ...(cause instanceof Error ? { cause } : {}),
  });
}

/** The failure of ours at the bottom of what an activity or child threw, if there is one. */
function known(error: unknown): ApplicationFailure | undefined {
  if (error instanceof ApplicationFailure && isFailureType(error.type)) return error;
  if (error instanceof ActivityFailure || error instanceof ChildWorkflowFailure)
    return known(error.cause);
  return undefined;
}

/** What kind of failure it was, in our terms. A queue that nobody polled means that the host is unreachable. */
export function failureType(error: unknown): FailureType {
  const ours = known(error);
  if (ours !== undefined && isFailureType(ours.type)) return ours.type;
  if (error instanceof ActivityFailure && error.cause instanceof TimeoutFailure) {
    return error.cause.timeoutType === 'SCHEDULE_TO_START' ? 'HostUnreachable' : 'HostStepFailed';
  }
  return 'HostStepFailed';
}

/** The facts that the host sent along with its failure. */
export const failureFacts = (error: unknown): Readonly<Record<string, unknown>> =>
  (known(error)?.details?.[0] as Readonly<Record<string, unknown>> | undefined) ?? {};

/** What happened, in words, from the bottom of the chain. */
export function failureMessage(error: unknown): string {
  const ours = known(error);
  if (ours !== undefined) return ours.message;
  if (error instanceof ActivityFailure && error.cause instanceof TimeoutFailure) {
    return error.cause.timeoutType === 'SCHEDULE_TO_START'
      ? `No worker took ${error.activityType} in time.`
      : `${error.activityType} did not succeed in time.`;
  }
  return rootCause(error) ?? String(error);
}

/** What a failure further down says to do is its own; this one says what to do now. Ends with one full stop. */
export function withoutNextActions(text: string): string {
  const told = Object.values(FAILURES).reduce(
    (rest, { nextAction }) => rest.replaceAll(nextAction, ''),
    text,
  );
  const tidy = told
    .replace(/\s+/g, ' ')
    .replace(/\s*\.?\s*\)/g, ')')
    .replace(/[.\s]+$/, '');
  return `${tidy}.`;
}

export const cancelled = (what: string) => new CancelledFailure(what);
export { isCancellation };
