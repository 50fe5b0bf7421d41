import { temporal } from '@temporalio/proto';
import type { Step } from './steps';
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

/** The whole chain of causes. What a child's activity did stands in the child's history, so its attempts are not known. */
export function failureChain(failure: Failure | null | undefined, steps: readonly Step[]): Link[] {
  const links: Link[] = [];
  let known = steps;
  for (let at = failure; at != null; at = at.cause) {
    const link = linkOf(at, known);
    // The host's own error lies under the failure that carries it over the wire, and says the same.
    if (links.at(-1)?.message === link.message) continue;
    links.push(link);
    if (at.childWorkflowExecutionFailureInfo) known = [];
  }
  return links;
}

function linkOf(failure: Failure, steps: readonly Step[]): Link {
  const message = failure.message ?? '';
  const plain = { message, step: null, child: null, attempt: null, retryState: null };
  const { activityFailureInfo: activity, childWorkflowExecutionFailureInfo: child } = failure;
  if (activity) {
    return {
      ...plain,
      type: 'activity',
      step: activity.activityType?.name ?? null,
      attempt: steps.find((s) => s.activityId === activity.activityId)?.attempts ?? null,
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
    const { timeoutType } = failure.timeoutFailureInfo;
    const which = TimeoutType[timeoutType ?? TimeoutType.TIMEOUT_TYPE_UNSPECIFIED].replace(
      'TIMEOUT_TYPE_',
      '',
    );
    return `timeout (${which.toLowerCase().replaceAll('_', '-')})`;
  }
  if (failure.canceledFailureInfo) return 'cancelled';
  if (failure.terminatedFailureInfo) return 'terminated';
  if (failure.serverFailureInfo) return 'server';
  return 'failure';
}
