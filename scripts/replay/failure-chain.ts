import { temporal } from '@temporalio/proto';
import { retryStateText } from './values';

type Failure = temporal.api.failure.v1.IFailure;

/** One failure of a chain, outermost first. */
export interface Link {
  /** The type of an application failure as contract/failures.ts has it, or what else it was: `activity`, `timeout`… */
  readonly type: string;
  readonly message: string;
  /** Which step it was, where the link is one. */
  readonly step: string | null;
  /** Which child run it was, where the link is one. */
  readonly child: string | null;
  readonly attempt: number | null;
  readonly retryState: string | null;
}

/** How many attempts a step of this very run took, by the id that Temporal gave it. */
export type AttemptsOf = (activityId: string) => number | null;

/** The whole chain of causes. What a child's activity did stands in the child's history, so its attempts are not known. */
export function failureChain(failure: Failure | null | undefined, attemptsOf: AttemptsOf): Link[] {
  const links: Link[] = [];
  let ofThisRun = true;
  for (let at = failure; at != null; at = at.cause) {
    const link = linkOf(at, ofThisRun ? attemptsOf : () => null);
    // The host's own error lies under the failure that carries it over the wire, and says the same.
    if (links.at(-1)?.message !== link.message) links.push(link);
    if (at.childWorkflowExecutionFailureInfo) ofThisRun = false;
  }
  return links;
}

function linkOf(failure: Failure, attemptsOf: AttemptsOf): Link {
  const message = failure.message ?? '';
  const plain = { message, step: null, child: null, attempt: null, retryState: null };
  const { activityFailureInfo: activity, childWorkflowExecutionFailureInfo: child } = failure;
  if (activity) {
    return {
      ...plain,
      type: 'activity',
      step: activity.activityType?.name ?? null,
      attempt: attemptsOf(activity.activityId ?? ''),
      retryState: retryStateText(activity.retryState),
    };
  }
  if (child) {
    return {
      ...plain,
      type: 'child workflow',
      child: child.workflowExecution?.workflowId ?? null,
      retryState: retryStateText(child.retryState),
    };
  }
  return { ...plain, type: plainType(failure) };
}

function plainType(failure: Failure): string {
  const { TimeoutType } = temporal.api.enums.v1;
  if (failure.applicationFailureInfo) return failure.applicationFailureInfo.type || 'Error';
  if (failure.timeoutFailureInfo) {
    const which = TimeoutType[failure.timeoutFailureInfo.timeoutType ?? 0].replace('TIMEOUT_TYPE_', '');
    return `timeout (${which.toLowerCase().replaceAll('_', '-')})`;
  }
  if (failure.canceledFailureInfo) return 'cancelled';
  if (failure.terminatedFailureInfo) return 'terminated';
  if (failure.serverFailureInfo) return 'server';
  return 'failure';
}
