import { WorkflowUpdateStage, type WorkflowHandle } from '@temporalio/client';
import { arrayFromPayloads, defaultPayloadConverter } from '@temporalio/common';
import type { temporal } from '@temporalio/proto';
import type { RecordedRun } from '../recorded-runs/recorded-run';
import { timeMs } from '../replay/values';

type Event = temporal.api.history.v1.IHistoryEvent;

/** Something that came to a run from outside while it was open: a cancel, signal, update or termination. */
export interface Intervention {
  readonly workflowId: string;
  /**
   * How far the runs had come, by workflow id: so many landmarks (see `isLandmark`) in all runs of that id. A run that
   * has children says little of them in its own history.
   */
  readonly reached: ReadonlyMap<string, number>;
  /** How long after the last of these landmarks it came, ms. */
  readonly afterAllMs: number;
  /** Since the last of its own run, the longest time in which none came, ms. */
  readonly longestPauseMs: number;
  /** `cancel of fast-save/host-01/vm-01`. */
  readonly what: string;
  readonly issue: Issue;
}

type Issue = (handle: WorkflowHandle) => Promise<unknown>;

/** All that came from outside to these runs, in its order. */
export function interventionsIn(runs: readonly RecordedRun[]): Intervention[] {
  const landmarks = runs.flatMap(({ workflowId, history }) =>
    (history?.events ?? [])
      .filter(isLandmark)
      .map(({ eventTime }) => ({ workflowId, atMs: timeMs(eventTime) ?? 0 })),
  );
  return runs
    .flatMap(({ workflowId, parentRunId, history }) =>
      (history?.events ?? []).flatMap((event) => {
        const came = fromOutside(event, parentRunId === null);
        return came === null ? [] : [{ workflowId, atMs: timeMs(event.eventTime) ?? 0, ...came }];
      }),
    )
    .sort((a, b) => a.atMs - b.atMs)
    .map(({ workflowId, atMs, what, issue }) => {
      // By time, not by place: what comes while the workflow decides is written down after what it decided.
      const before = landmarks.filter((landmark) => landmark.atMs <= atMs);
      const own = before.filter((landmark) => landmark.workflowId === workflowId);
      return {
        workflowId,
        reached: countsOf(before),
        afterAllMs: sinceLast(before, atMs),
        longestPauseMs: longestPause(before, atMs - sinceLast(own, atMs), atMs),
        what: `${what} of ${workflowId}`,
        issue,
      };
    });
}

interface Landmark {
  readonly workflowId: string;
  readonly atMs: number;
}

function countsOf(landmarks: readonly Landmark[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { workflowId } of landmarks) counts.set(workflowId, (counts.get(workflowId) ?? 0) + 1);
  return counts;
}

const sinceLast = (landmarks: readonly Landmark[], atMs: number): number =>
  landmarks.reduce((ms, landmark) => Math.min(ms, atMs - landmark.atMs), atMs);

function longestPause(landmarks: readonly Landmark[], fromMs: number, toMs: number): number {
  const times = landmarks.map(({ atMs }) => atMs).filter((atMs) => atMs > fromMs);
  const sorted = [fromMs, ...times, toMs].sort((a, b) => a - b);
  return Math.max(...sorted.slice(1).map((atMs, index) => atMs - (sorted[index] ?? atMs)));
}

/**
 * Whether an event says how far its run has come: the start, and all that a run asks for and is answered. How often its
 * worker is given a task, and what it shows to people, differs from one time to another.
 */
export const isLandmark = (event: Event): boolean =>
  LANDMARKS.some((attributes) => event[attributes] != null);

const LANDMARKS = [
  'workflowExecutionStartedEventAttributes',
  'activityTaskScheduledEventAttributes',
  'activityTaskCompletedEventAttributes',
  'activityTaskFailedEventAttributes',
  'activityTaskTimedOutEventAttributes',
  'activityTaskCanceledEventAttributes',
  'timerStartedEventAttributes',
  'timerFiredEventAttributes',
  'timerCanceledEventAttributes',
  'startChildWorkflowExecutionInitiatedEventAttributes',
  'childWorkflowExecutionStartedEventAttributes',
  'childWorkflowExecutionCompletedEventAttributes',
  'childWorkflowExecutionFailedEventAttributes',
  'childWorkflowExecutionCanceledEventAttributes',
  'childWorkflowExecutionTimedOutEventAttributes',
  'childWorkflowExecutionTerminatedEventAttributes',
] as const satisfies readonly (keyof Event)[];

/** What the server does itself, such as ending children with their parent, it does again. */
const SERVER = 'history-service';

/** What another workflow asked for is outside for the run that is acted out: that workflow is not there. */
function fromOutside(event: Event, isTop: boolean): Pick<Intervention, 'what' | 'issue'> | null {
  const cancel = event.workflowExecutionCancelRequestedEventAttributes;
  if (cancel && (isTop || cancel.externalWorkflowExecution == null))
    return { what: 'cancel', issue: (handle) => handle.cancel() };
  const signal = event.workflowExecutionSignaledEventAttributes;
  if (signal && (isTop || signal.externalWorkflowExecution == null)) {
    const name = signal.signalName ?? '';
    const args = valuesOf(signal.input);
    return { what: `signal ${name}`, issue: (handle) => handle.signal(name, ...args) };
  }
  const update = event.workflowExecutionUpdateAcceptedEventAttributes?.acceptedRequest?.input;
  if (update) {
    const name = update.name ?? '';
    const [argument, ...more] = valuesOf(update.args);
    const waitForStage = WorkflowUpdateStage.ACCEPTED;
    return {
      what: `update ${name}`,
      issue: (handle) => handle.startUpdate(name, { args: [argument, ...more], waitForStage }),
    };
  }
  const termination = event.workflowExecutionTerminatedEventAttributes;
  if (termination && (isTop || termination.identity !== SERVER)) {
    const reason = termination.reason ?? undefined;
    return { what: 'termination', issue: (handle) => handle.terminate(reason) };
  }
  return null;
}

const valuesOf = (payloads: temporal.api.common.v1.IPayloads | null | undefined): unknown[] =>
  arrayFromPayloads(defaultPayloadConverter, payloads?.payloads);
