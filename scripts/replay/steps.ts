import { temporal } from '@temporalio/proto';
import type { History } from '../recorded-runs/recorded-run';
import { field, firstValue, numberOf, textOf, timeMs } from './values';

type Event = temporal.api.history.v1.IHistoryEvent;

/** One activity of a run. Times in ms since 1970. */
export interface Step {
  readonly eventId: number;
  readonly activityId: string;
  readonly name: string;
  /** Whose clock `hostTimeMs` is of; null for what is asked of no host. */
  readonly hostId: string | null;
  /** Issued together with others, and tried again by the host itself: the step ahead of it, null for the first. Null: issued by itself. */
  readonly list: { readonly after: string | null } | null;
  /** What the host answered, or how the activity ended; `open` if the history ends first. */
  status: string;
  reason: string | null;
  /**
   * Null where the history does not tell: the server writes down the last attempt's start, and nothing if the step was
   * given up between two attempts, or is still open.
   */
  attempts: number | null;
  readonly scheduledMs: number | null;
  /** Of the last attempt of the activity, not of the step: the host may have more to do before it. */
  startedMs: number | null;
  /** When the answer was there: after the blackout, for what was done in one. */
  closedMs: number | null;
  /** The host's own clock when the step ended, ms. */
  hostTimeMs: number | null;
  /** The host's own time for the step, over all attempts. */
  hostMs: number | null;
  /** How long the VM had been dark at the end of the step; null where the answer says nothing of it. */
  darkForMs: number | null;
  /** How long the VM was dark in all, where the step ended it. */
  blackoutMs: number | null;
  /** What the last failed attempt said that the history knows of, also where a later one succeeded. */
  lastFailure: string | null;
  /** What it answered; undefined where it did not. */
  answer: unknown;
}

/** Every activity, in the order in which they were asked for. */
export function stepsOf(history: History): Step[] {
  const byEvent = new Map<string, Step>();
  for (const event of history.events ?? []) follow(event, byEvent);
  const steps = [...byEvent.values()];
  for (const [index, step] of steps.entries()) {
    if (step.list?.after === null) tellDarkness(listFrom(steps.slice(index)));
  }
  return steps;
}

export const hasFailed = ({ status }: Step): boolean =>
  status === 'failed' || status === 'timed out';

/** The list of steps ended before it. */
export const isNotReached = ({ status }: Step): boolean => status === 'notReached';

/** How it ended in words, and why, as far as the history tells; what was not reached has its why at the step that failed. */
export function outcomeOf(step: Step): { readonly outcome: string; readonly why: string | null } {
  const { status, reason, list, lastFailure } = step;
  if (isNotReached(step)) return { outcome: 'not reached', why: null };
  if (hasFailed(step)) return { outcome: status, why: lastFailure };
  if (lastFailure === null) return { outcome: status, why: reason };
  // The host tries a step of a list again by itself: what failed then was to bring its answer.
  return {
    outcome: status,
    why: `${list === null ? 'after' : 'asked again after'}: ${lastFailure}`,
  };
}

function follow(event: Event, steps: Map<string, Step>): void {
  const scheduled = event.activityTaskScheduledEventAttributes;
  if (scheduled) {
    steps.set(String(event.eventId), newStep(event, scheduled));
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
  if (completed) answer(step, firstValue(completed.result));
  else if (cancelled) step.status = 'cancelled';
  else {
    step.status = failed ? 'failed' : 'timed out';
    // Nobody took it, not even once.
    if (isUntaken(timedOut?.failure)) step.attempts = 0;
    // The host says how often it has tried.
    const details = firstValue(failed?.failure?.applicationFailureInfo?.details);
    step.attempts = numberOf(field(details, 'attempt')) ?? step.attempts;
    step.lastFailure = messageOf((failed ?? timedOut)?.failure);
  }
}

function newStep(
  event: Event,
  scheduled: temporal.api.history.v1.IActivityTaskScheduledEventAttributes,
): Step {
  const call = firstValue(scheduled.input);
  const list = field(call, 'list');
  return {
    eventId: Number(event.eventId),
    activityId: scheduled.activityId ?? '',
    name: scheduled.activityType?.name ?? '(unnamed)',
    hostId: textOf(field(call, 'hostId')),
    list: list === undefined ? null : { after: textOf(field(list, 'after')) },
    status: 'open',
    reason: null,
    attempts: null,
    scheduledMs: timeMs(event.eventTime),
    startedMs: null,
    closedMs: null,
    hostTimeMs: null,
    hostMs: null,
    darkForMs: null,
    blackoutMs: null,
    lastFailure: null,
    answer: undefined,
  };
}

/** What a step outcome (contract/steps.ts) says; other activities answer something else, and are done. */
function answer(step: Step, answered: unknown): void {
  step.answer = answered;
  step.status = textOf(field(answered, 'status')) ?? 'done';
  step.reason = textOf(field(answered, 'reason'));
  step.hostTimeMs = numberOf(field(answered, 'hostTimeMs'));
  if (step.list !== null) step.attempts = numberOf(field(answered, 'attempts')) ?? step.attempts;
  if (isNotReached(step)) return;
  step.hostMs = numberOf(field(answered, 'ms'));
  step.darkForMs = numberOf(field(answered, 'darkForMs'));
  step.blackoutMs = numberOf(field(field(answered, 'evidence'), 'blackoutMs'));
}

/** The first step of a list, and those that were issued with it. */
function listFrom([first, ...rest]: readonly Step[]): readonly Step[] {
  const end = rest.findIndex(({ list }) => list === null || list.after === null);
  return first === undefined ? [] : [first, ...(end === -1 ? rest : rest.slice(0, end))];
}

/** An answer that is given once more when the VM runs again says nothing of how dark it was: its pause and the end tell. */
function tellDarkness(list: readonly Step[]): void {
  const pausedAtMs = list.map(pausedAt).find((atMs) => atMs !== null) ?? null;
  const done = list.filter(({ status }) => status === 'done' || status === 'alreadyDone');
  for (const step of done) {
    const { name, hostTimeMs, darkForMs } = step;
    if (darkForMs !== 0 || hostTimeMs === null || name === 'resumeVm' || name === 'awaitResume')
      continue;
    step.darkForMs = pausedAtMs === null ? 0 : Math.max(0, hostTimeMs - pausedAtMs);
  }
}

/** By the host's clock, from what the steps at the two ends of a blackout say. */
const pausedAt = ({ answer, hostTimeMs, blackoutMs }: Step): number | null =>
  numberOf(field(field(answer, 'evidence'), 'pausedAtMs')) ??
  (blackoutMs === null || hostTimeMs === null ? null : hostTimeMs - blackoutMs);

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
