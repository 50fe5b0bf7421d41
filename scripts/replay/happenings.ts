import type { temporal } from '@temporalio/proto';
import type { History } from '../recorded-runs/recorded-run';
import { field, firstValue, retryStateText, textOf, timeMs } from './values';

type Event = temporal.api.history.v1.IHistoryEvent;

/** Something else than a step that happened to a run. */
export interface Happening {
  readonly eventId: number;
  readonly atMs: number | null;
  readonly what: string;
  readonly outcome: string;
}

export interface Child {
  readonly eventId: number;
  readonly atMs: number | null;
  readonly workflowId: string;
  runId: string | null;
  readonly type: string;
  /** completed (with the outcome of its result), failed (with the type of its failure), cancelled, … or open. */
  outcome: string;
}

/** Timers, cancel requests, signals, updates, and workflow tasks that did not succeed. */
export function happeningsOf({ events }: History): Happening[] {
  const timers = new Map<string, string>();
  return (events ?? []).flatMap((event) => {
    const seen = happening(event, timers);
    return seen === null
      ? []
      : [{ eventId: Number(event.eventId), atMs: timeMs(event.eventTime), ...seen }];
  });
}

function happening(
  event: Event,
  timers: Map<string, string>,
): Pick<Happening, 'what' | 'outcome'> | null {
  const timer = event.timerStartedEventAttributes;
  if (timer) {
    const summary = textOf(firstValue({ payloads: [event.userMetadata?.summary ?? {}] }));
    const what = `timer ${summary ?? timer.timerId ?? ''} (${timeMs(timer.startToFireTimeout) ?? 0} ms)`;
    timers.set(String(event.eventId), what);
    return { what, outcome: 'started' };
  }
  const fired = event.timerFiredEventAttributes;
  if (fired) return { what: timers.get(String(fired.startedEventId)) ?? 'timer', outcome: 'fired' };
  const timerCancelled = event.timerCanceledEventAttributes;
  if (timerCancelled)
    return {
      what: timers.get(String(timerCancelled.startedEventId)) ?? 'timer',
      outcome: 'cancelled',
    };

  const cancelRequested = event.workflowExecutionCancelRequestedEventAttributes;
  if (cancelRequested)
    return { what: 'cancel of this run', outcome: cancelRequested.cause || 'requested' };
  const signal = event.workflowExecutionSignaledEventAttributes;
  if (signal) return { what: `signal ${signal.signalName ?? ''}`, outcome: 'received' };
  const accepted = event.workflowExecutionUpdateAcceptedEventAttributes;
  if (accepted) {
    const input = accepted.acceptedRequest?.input;
    return {
      what: `update ${input?.name ?? ''}`,
      outcome: `accepted with ${JSON.stringify(firstValue(input?.args) ?? null)}`,
    };
  }
  const completed = event.workflowExecutionUpdateCompletedEventAttributes;
  if (completed) {
    const { success, failure } = completed.outcome ?? {};
    return {
      what: 'update',
      outcome: failure
        ? `failed: ${failure.message ?? ''}`
        : `answered ${JSON.stringify(firstValue(success) ?? null)}`,
    };
  }
  const taskFailed = event.workflowTaskFailedEventAttributes;
  if (taskFailed)
    return {
      what: 'workflow task',
      outcome: `failed: ${taskFailed.failure?.message ?? 'no reason given'}`,
    };
  if (event.workflowTaskTimedOutEventAttributes) {
    return { what: 'workflow task', outcome: 'timed out: its worker ended or did not answer' };
  }
  return null;
}

/** The workflows that the run started, with how they ended as far as this history knows. */
export function childrenOf({ events }: History): Child[] {
  const children = new Map<string, Child>();
  for (const event of events ?? []) {
    const initiated = event.startChildWorkflowExecutionInitiatedEventAttributes;
    if (initiated) {
      children.set(String(event.eventId), {
        eventId: Number(event.eventId),
        atMs: timeMs(event.eventTime),
        workflowId: initiated.workflowId ?? '',
        runId: null,
        type: initiated.workflowType?.name ?? '',
        outcome: 'open',
      });
    } else followChild(event, children);
  }
  return [...children.values()];
}

function followChild(event: Event, children: Map<string, Child>): void {
  const started = event.childWorkflowExecutionStartedEventAttributes;
  const completed = event.childWorkflowExecutionCompletedEventAttributes;
  const failed = event.childWorkflowExecutionFailedEventAttributes;
  const cancelled = event.childWorkflowExecutionCanceledEventAttributes;
  const timedOut = event.childWorkflowExecutionTimedOutEventAttributes;
  const terminated = event.childWorkflowExecutionTerminatedEventAttributes;
  const notStarted = event.startChildWorkflowExecutionFailedEventAttributes;
  const attributes =
    started ?? completed ?? failed ?? cancelled ?? timedOut ?? terminated ?? notStarted;
  const child = children.get(String(attributes?.initiatedEventId));
  if (child === undefined) return;
  if (started) child.runId = started.workflowExecution?.runId ?? null;
  else if (completed)
    child.outcome = withDetail('completed', textOf(field(firstValue(completed.result), 'outcome')));
  else if (failed) {
    child.outcome = withDetail(
      'failed',
      failed.failure?.applicationFailureInfo?.type ?? retryStateText(failed.retryState),
    );
  } else if (cancelled) child.outcome = 'cancelled';
  else if (timedOut) child.outcome = 'timed out';
  else if (terminated) child.outcome = 'terminated';
  else child.outcome = 'not started: a run of this id is open';
}

const withDetail = (outcome: string, detail: string | null): string =>
  detail === null ? outcome : `${outcome}: ${detail}`;
