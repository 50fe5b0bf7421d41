import { ActivityFailure, ApplicationFailure, ChildWorkflowFailure } from '@temporalio/workflow';
import { isFailureType } from '../contract/failures';
import type { Holder } from '../contract/ids';
import { failureFacts, failureMessage, failureType, withoutNextActions } from './failures';

/** What went wrong at the bottom of a failed run, in the terms that people look for. */
export interface LastFailure {
  readonly type: string;
  readonly message: string;
  /** The activity that failed; null if none did, as with wrong input. */
  readonly step: string | null;
  /** Which attempt of the step failed last, from 1; null where it is not known: nobody answers after a time-out. */
  readonly attempt: number | null;
  /** The child's run in which it happened; null if it was this one. */
  readonly run: Holder | null;
}

/** Follows the causes down to the first failure of all. */
export function lastFailure(error: unknown): LastFailure {
  const causes = chain(error);
  const activity = causes.findLast((cause) => cause instanceof ActivityFailure);
  const child = causes.findLast((cause) => cause instanceof ChildWorkflowFailure);
  const bottom = activity ?? causes.findLast(isOurs);
  const { step, attempt } = failedAttempt(bottom);
  return {
    type: failureType(bottom),
    message: withoutNextActions(failureMessage(bottom)),
    step: step ?? activity?.activityType ?? null,
    attempt: attempt ?? null,
    run: child === undefined ? null : runOf(child),
  };
}

function runOf({ execution }: ChildWorkflowFailure): Holder | null {
  const { workflowId, runId } = execution;
  return workflowId == null || runId == null ? null : { workflowId, runId };
}

/** Which attempt of which activity failed last: the activities send it along with their failures. */
export const failedAttempt = (
  error: unknown,
): { readonly step?: string; readonly attempt?: number } =>
  failureFacts(chain(error).findLast(isOurs));

/** Below a failure of ours there may be the error of the host that it was made of. */
const isOurs = (cause: Error) => cause instanceof ApplicationFailure && isFailureType(cause.type);

function chain(error: unknown): readonly Error[] {
  const causes: Error[] = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause) causes.push(cause);
  return causes;
}
