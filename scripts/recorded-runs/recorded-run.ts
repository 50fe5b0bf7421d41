import type { temporal } from '@temporalio/proto';

export type History = temporal.api.history.v1.IHistory;

/** One run of a workflow as it was recorded, with its place in the tree of runs that one run started. */
export interface RecordedRun {
  readonly workflowId: string;
  /** Empty for a file that does not say it. */
  readonly runId: string;
  /** The run that started it; null for the root, and for a run that another one of its workflow continued as. */
  readonly parentRunId: string | null;
  /** 0 for the root and the runs that it continued as, 1 for their children. */
  readonly depth: number;
  /** Null where it is not to be had; `missing` says why. */
  readonly history: History | null;
  readonly missing: string | null;
}

/** One run, named. */
export interface RunRef {
  readonly workflowId: string;
  readonly runId: string;
}

export const runsChildren = ({ events }: History): RunRef[] =>
  (events ?? []).flatMap((event) => {
    const { workflowId, runId } =
      event.childWorkflowExecutionStartedEventAttributes?.workflowExecution ?? {};
    return workflowId && runId ? [{ workflowId, runId }] : [];
  });

export const started = ({ events }: History) =>
  events?.[0]?.workflowExecutionStartedEventAttributes ?? undefined;

/** The run that this one continued as. */
export const continuedAs = ({ events }: History): string | undefined =>
  events?.at(-1)?.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId || undefined;

/** The workflow code that decided in this run, oldest first: what its worker called its build. */
export const buildIds = ({ events }: History): string[] => [
  ...new Set(
    (events ?? []).flatMap(
      (event) => event.workflowTaskCompletedEventAttributes?.workerVersion?.buildId ?? [],
    ),
  ),
];
