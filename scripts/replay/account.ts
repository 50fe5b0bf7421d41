import type { temporal } from '@temporalio/proto';
import { FAILURES, isFailureType } from '../../contract/failures';
import { failureChain, type Link } from './failure-chain';
import { childrenOf, happeningsOf, type Child, type Happening } from './happenings';
import { buildIds, type History } from '../recorded-runs/recorded-run';
import { stepsOf, type Step } from './steps';
import { field, firstValue, numberOf, textOf, timeMs } from './values';

/** How long a VM was dark, as far as the history tells. */
export interface Blackout {
  readonly vmId: string | null;
  readonly ms: number;
  /** False where the VM was still dark at the last step that says so: another run, or the host, brought it back. */
  readonly ended: boolean;
}

/** What a history tells of its run. */
export interface Account {
  readonly workflowId: string;
  readonly runId: string | null;
  readonly type: string;
  readonly input: unknown;
  readonly startedMs: number | null;
  readonly closedMs: number | null;
  /** Of the last event that the history has: its end, where it is closed. */
  readonly lastEventId: number;
  /** completed, failed, cancelled, terminated, timed out, continued as new, or open. */
  readonly outcome: string;
  /** The outcome that its result names, the reason of a termination, or the run it continued as. */
  readonly detail: string | null;
  /** What it answered, or what its failure carries as details; undefined without either. */
  readonly result: unknown;
  readonly continuedFrom: string | null;
  readonly parent: string | null;
  readonly chain: readonly Link[];
  readonly steps: readonly Step[];
  readonly happenings: readonly Happening[];
  readonly children: readonly Child[];
  readonly blackouts: readonly Blackout[];
  /** What its workers called the workflow code that decided in it, oldest first. */
  readonly buildIds: readonly string[];
}

export function accountOf({
  workflowId,
  history,
}: {
  readonly workflowId: string;
  readonly history: History;
}): Account {
  const events = history.events ?? [];
  const first = events[0];
  const started = first?.workflowExecutionStartedEventAttributes;
  const steps = stepsOf(history);
  const end = endOf(events.at(-1));
  return {
    workflowId,
    runId: textOf(started?.originalExecutionRunId),
    type: started?.workflowType?.name ?? '',
    input: firstValue(started?.input),
    startedMs: timeMs(first?.eventTime),
    closedMs: end.outcome === 'open' ? null : timeMs(events.at(-1)?.eventTime),
    lastEventId: events.length,
    outcome: end.outcome,
    detail: end.detail,
    result: end.result,
    continuedFrom: textOf(started?.continuedExecutionRunId),
    parent: textOf(started?.parentWorkflowExecution?.workflowId),
    chain: failureChain(end.failure, steps),
    steps,
    happenings: happeningsOf(history),
    children: childrenOf(history),
    blackouts: blackoutsOf(steps, end.result),
    buildIds: buildIds(history),
  };
}

interface End {
  readonly outcome: string;
  readonly detail: string | null;
  readonly failure: temporal.api.failure.v1.IFailure | null;
  /** The result, or what a failure carries as its details: the same object, for a host that was not updated. */
  readonly result: unknown;
}

function endOf(last: temporal.api.history.v1.IHistoryEvent | undefined): End {
  const end = (outcome: string, rest: Partial<End> = {}): End => ({
    outcome,
    detail: null,
    failure: null,
    result: undefined,
    ...rest,
  });
  const completed = last?.workflowExecutionCompletedEventAttributes;
  if (completed) {
    const result = firstValue(completed.result);
    return end('completed', { result, detail: textOf(field(result, 'outcome')) });
  }
  const failure = last?.workflowExecutionFailedEventAttributes?.failure;
  if (failure) {
    const result = firstValue(failure.applicationFailureInfo?.details);
    return end('failed', { failure, result, detail: failure.applicationFailureInfo?.type ?? null });
  }
  if (last?.workflowExecutionCanceledEventAttributes) return end('cancelled');
  const terminated = last?.workflowExecutionTerminatedEventAttributes;
  if (terminated) return end('terminated', { detail: textOf(terminated.reason) });
  if (last?.workflowExecutionTimedOutEventAttributes) return end('timed out');
  const continued = last?.workflowExecutionContinuedAsNewEventAttributes;
  if (continued) {
    return end('continued as new', { detail: `run ${continued.newExecutionRunId ?? ''}` });
  }
  return end('open');
}

function blackoutsOf(steps: readonly Step[], result: unknown): Blackout[] {
  const vms = field(result, 'vms');
  if (Array.isArray(vms)) {
    return vms.flatMap((vm: unknown): Blackout[] => {
      const ms = numberOf(field(field(vm, 'facts'), 'blackoutMs'));
      return ms === null || ms === 0
        ? []
        : [
            {
              vmId: textOf(field(vm, 'vmId')),
              ms,
              ended: field(field(vm, 'facts'), 'running') === true,
            },
          ];
    });
  }
  const resumed = steps.findLast((s) => s.blackoutMs !== null);
  if (resumed?.blackoutMs != null && resumed.blackoutMs > 0)
    return [{ vmId: null, ms: resumed.blackoutMs, ended: true }];
  const dark = Math.max(0, ...steps.map((s) => s.darkForMs ?? 0));
  return dark === 0 ? [] : [{ vmId: null, ms: dark, ended: false }];
}

/** What an operator does about a failure of this type; null where the type is none of ours. */
export const nextActionOf = (type: string | undefined): string | null =>
  isFailureType(type) ? FAILURES[type].nextAction : null;

/** The bottom of a chain: why it all happened. */
export const rootOf = (chain: readonly Link[]): Link | undefined => chain.at(-1);
