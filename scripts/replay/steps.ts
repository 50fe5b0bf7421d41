import { temporal } from '@temporalio/proto';
import type { History } from '../recorded-runs/recorded-run';
import { field, firstValue, numberOf, textOf, timeMs } from './values';

type Event = temporal.api.history.v1.IHistoryEvent;

/** One activity of a run. Times in ms since 1970. */
export interface Step {
  readonly eventId: number;
  readonly activityId: string;
  readonly name: string;
  /** `task-queue`: a regular activity; `in-place`: a local one, in the worker that ran the workflow. */
  readonly placement: 'task-queue' | 'in-place';
  /** What the host answered, or how the activity ended; `open` if the history ends first. */
  status: string;
  reason: string | null;
  /**
   * Of the engine; a host counts only those that reached it. Null where the history does not tell: the server writes
   * down the last attempt's start, and nothing if the step was given up between two attempts, or is still open.
   */
  attempts: number | null;
  readonly scheduledMs: number | null;
  /** Of the last attempt; unknown for a local activity. */
  startedMs: number | null;
  closedMs: number | null;
  /** The host's own time for the step, over all attempts. */
  hostMs: number | null;
  /** How long the VM had been dark at the end of the step; null where the answer says nothing of it. */
  darkForMs: number | null;
  /** How long the VM was dark in all, where the step ended it. */
  blackoutMs: number | null;
  /** What the last failed attempt said, also where a later one succeeded. */
  lastFailure: string | null;
  /** What it answered; undefined where it did not. */
  answer: unknown;
}

/** Every activity, regular or local, in the order in which the history has them. */
export function stepsOf(history: History): Step[] {
  const steps = new Map<string, Step>();
  for (const event of history.events ?? []) follow(event, steps);
  return [...steps.values()];
}

function follow(event: Event, steps: Map<string, Step>): void {
  const scheduled = event.activityTaskScheduledEventAttributes;
  if (scheduled) {
    steps.set(String(event.eventId), {
      ...newStep(event, scheduled.activityType?.name, scheduled.activityId),
      placement: 'task-queue',
      scheduledMs: timeMs(event.eventTime),
    });
    return;
  }
  if (event.markerRecordedEventAttributes?.markerName === 'core_local_activity') {
    steps.set(String(event.eventId), localStep(event, event.markerRecordedEventAttributes));
    return;
  }
  const started = event.activityTaskStartedEventAttributes;
  const completed = event.activityTaskCompletedEventAttributes;
  const failed = event.activityTaskFailedEventAttributes;
  const timedOut = event.activityTaskTimedOutEventAttributes;
  const cancelled = event.activityTaskCanceledEventAttributes;
  const attributes = started ?? completed ?? failed ?? timedOut ?? cancelled;
  const step = steps.get(String(attributes?.scheduledEventId));
  if (step === undefined) return;
  if (started) {
    step.startedMs = timeMs(event.eventTime);
    step.attempts = started.attempt ?? 1;
    step.lastFailure = started.lastFailure?.message ?? null;
    return;
  }
  step.closedMs = timeMs(event.eventTime);
  if (completed) Object.assign(step, answerOf(firstValue(completed.result)));
  else if (cancelled) step.status = 'cancelled';
  else {
    step.status = failed ? 'failed' : 'timed out';
    // Nobody took it, not even once.
    if (isUntaken(timedOut?.failure)) step.attempts = 0;
    step.lastFailure = messageOf((failed ?? timedOut)?.failure);
  }
}

/** A marker holds the last attempt only; when it began and ended on the worker's clock is not in it. */
function localStep(
  event: Event,
  marker: temporal.api.history.v1.IMarkerRecordedEventAttributes,
): Step {
  const about = firstValue(marker.details?.['data']);
  const scheduled = field(about, 'original_schedule_time');
  const seconds = numberOf(field(scheduled, 'seconds'));
  const step: Step = {
    ...newStep(event, textOf(field(about, 'activity_type')), textOf(field(about, 'activity_id'))),
    placement: 'in-place',
    attempts: numberOf(field(about, 'attempt')) ?? 1,
    scheduledMs:
      seconds === null ? null : seconds * 1000 + (numberOf(field(scheduled, 'nanos')) ?? 0) / 1e6,
  };
  if (marker.failure) {
    step.status = 'failed';
    step.lastFailure = messageOf(marker.failure);
  } else Object.assign(step, answerOf(firstValue(marker.details?.['result'])));
  return step;
}

function newStep(
  event: Event,
  name: string | null | undefined,
  activityId: string | null | undefined,
) {
  return {
    eventId: Number(event.eventId),
    activityId: activityId ?? '',
    name: name ?? '(unnamed)',
    status: 'open',
    reason: null,
    attempts: null,
    startedMs: null,
    closedMs: null,
    hostMs: null,
    darkForMs: null,
    blackoutMs: null,
    lastFailure: null,
    answer: undefined,
  };
}

/** What a step outcome (contract/steps.ts) says; other activities answer something else, and are done. */
function answerOf(answer: unknown) {
  return {
    answer,
    status: textOf(field(answer, 'status')) ?? 'done',
    reason: textOf(field(answer, 'reason')),
    hostMs: numberOf(field(answer, 'ms')),
    darkForMs: numberOf(field(answer, 'darkForMs')),
    blackoutMs: numberOf(field(field(answer, 'evidence'), 'blackoutMs')),
  };
}

function isUntaken(failure: temporal.api.failure.v1.IFailure | null | undefined): boolean {
  const { TIMEOUT_TYPE_SCHEDULE_TO_START } = temporal.api.enums.v1.TimeoutType;
  return (
    failure?.timeoutFailureInfo?.timeoutType === TIMEOUT_TYPE_SCHEDULE_TO_START &&
    failure.cause == null
  );
}

/** A time-out that the server noticed has what the last attempt said as its cause. */
function messageOf(failure: temporal.api.failure.v1.IFailure | null | undefined): string | null {
  return failure?.timeoutFailureInfo
    ? [failure.message, failure.cause?.message].filter(Boolean).join(': ')
    : (failure?.message ?? null);
}
