import { setTimeout as delay } from 'node:timers/promises';
import {
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  type Client,
  type WorkflowHandleWithStartDetails,
} from '@temporalio/client';
import {
  ApplicationFailure,
  CancelledFailure,
  TerminatedFailure,
  defineSearchAttributeKey,
  TypedSearchAttributes,
} from '@temporalio/common';
import type { Holder } from '../../contract/ids';
import { HOLDFAST_QUEUE } from '../../contract/queues';
import { CannotFork } from './ended';
import { leaseOf, type OldRun } from './old-run';
import type { Plan } from './plan';

const FORK_OF = defineSearchAttributeKey('ForkOf', 'KEYWORD');

/** Of the one fork of a run that is open at a time. */
export const forkId = ({ workflowId, runId }: Holder): string => `${workflowId}/fork-of-${runId}`;

export type NewRun = WorkflowHandleWithStartDetails;

/** Starts it with the link to the old run, in the memo for people and in a search attribute for lists. */
export async function startFork(client: Client, old: OldRun, plan: Plan): Promise<NewRun> {
  const { workflowId, runId } = old;
  const { type, input, at } = plan;
  try {
    return await client.workflow.start(type, {
      workflowId: forkId(old),
      taskQueue: HOLDFAST_QUEUE,
      args: [input],
      memo: { forkOf: { workflowId, runId, at } },
      typedSearchAttributes: new TypedSearchAttributes([{ key: FORK_OF, value: runId }]),
      workflowIdConflictPolicy: 'FAIL',
      staticSummary: `fork of ${workflowId} at ${at}`,
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    throw new CannotFork(`${forkId(old)} is open already: wait for it, or fork that one.`);
  }
}

const LOOK_EVERY_MS = 100;

/** Waits until the host has given the new run its VM; false where it ends without. */
export async function isGranted(run: NewRun): Promise<boolean> {
  for (;;) {
    if (leaseOf(await run.fetchHistory()) !== null) return true;
    if ((await run.describe()).status.name !== 'RUNNING') return false;
    await delay(LOOK_EVERY_MS);
  }
}

/** The host has fenced it; its history says where it goes on. Answers false if it has ended by itself. */
export async function terminateOld(client: Client, old: Holder, run: NewRun): Promise<boolean> {
  try {
    await client.workflow
      .getHandle(old.workflowId, old.runId)
      .terminate(`forked: goes on as ${run.workflowId}, run ${run.firstExecutionRunId}`);
    return true;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

export type End =
  | { readonly status: 'completed'; readonly result: unknown }
  | { readonly status: 'failed'; readonly type: string; readonly message: string }
  | { readonly status: 'cancelled' | 'terminated'; readonly message: string };

/** Follows it to its end; null where the signal ends that first. */
export async function follow(
  client: Client,
  run: NewRun,
  signal: AbortSignal,
): Promise<End | null> {
  try {
    const result: unknown = await client.withAbortSignal(signal, () => run.result());
    return { status: 'completed', result };
  } catch (error) {
    if (signal.aborted) return null;
    if (!(error instanceof WorkflowFailedError)) throw error;
    const { cause } = error;
    const message = cause?.message ?? error.message;
    if (cause instanceof CancelledFailure) return { status: 'cancelled', message };
    if (cause instanceof TerminatedFailure) return { status: 'terminated', message };
    const type = cause instanceof ApplicationFailure ? (cause.type ?? '') : (cause?.name ?? '');
    return { status: 'failed', type, message };
  }
}
