import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';
import type { Holder } from '../../contract/ids';
import { HOLD_MODES, MODES, VIRTUAL_FUNCTION_RESTORES } from '../../contract/inputs';
import { z } from '../../contract/zod';
import { accountOf, type Account } from '../replay/account';
import type { History } from '../recorded-runs/recorded-run';
import { firstValue } from '../replay/values';
import { CannotFork } from './ended';

/** As much of the host's answer to a call that grants a lease as a fork needs. */
const grantedLease = z.object({
  generation: z.int(),
  settings: z.object({
    mode: z.enum(MODES),
    holdMode: z.enum(HOLD_MODES),
    virtualFunctionRestore: z.enum(VIRTUAL_FUNCTION_RESTORES),
    blackoutBudgetMs: z.number(),
    maxSavedForMs: z.number(),
  }),
  adopted: z._default(z.array(z.object({ step: z.string() })), []),
});
export type GrantedLease = z.output<typeof grantedLease>;

const GRANTING: ReadonlySet<string> = new Set([
  'beginSave',
  'beginRestore',
  'fenceOperation',
  'withdrawUnlessCrossed',
]);

/** The run that is to be forked. */
export interface OldRun extends Holder {
  readonly type: string;
  readonly isOpen: boolean;
  readonly account: Account;
  /** The run that it is a part of, and whether that one is still open. */
  readonly parent: (Holder & { readonly isOpen: boolean }) | null;
  /** The last one that the host gave it; null where it never had one. */
  readonly lease: GrantedLease | null;
}

/** The latest run, or the one that is named. */
export async function oldRun(
  client: Client,
  workflowId: string,
  wanted: string | undefined,
): Promise<OldRun> {
  const run = await describe(client, workflowId, wanted);
  const history = await client.workflow.getHandle(workflowId, run.runId).fetchHistory();
  const account = accountOf({ workflowId, history });
  const parent = parentOf(history);
  return {
    workflowId,
    runId: run.runId,
    type: account.type,
    isOpen: isOpen(run.status.name),
    account,
    parent: parent && { ...parent, isOpen: await isStillOpen(client, parent) },
    lease: leaseOf(history),
  };
}

const isOpen = (status: string) => status === 'RUNNING' || status === 'PAUSED';

async function describe(client: Client, workflowId: string, runId: string | undefined) {
  try {
    return await client.workflow.getHandle(workflowId, runId).describe();
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
    throw new CannotFork(
      `There is no workflow "${workflowId}"${runId === undefined ? '' : ` with run id ${runId}`} in namespace ${client.options.namespace}. Look at its id in the UI; a closed run is deleted when the retention of its namespace has passed.`,
    );
  }
}

/** Whether the run of another is open; one that the server does not know any more is not. */
export async function isStillOpen(client: Client, { workflowId, runId }: Holder): Promise<boolean> {
  return (await statusOf(client, { workflowId, runId })) === 'RUNNING';
}

/** As the server names it, or `gone` after the retention. */
export async function statusOf(client: Client, { workflowId, runId }: Holder): Promise<string> {
  try {
    const { status } = await client.workflow.getHandle(workflowId, runId).describe();
    return isOpen(status.name) ? 'RUNNING' : status.name;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return 'gone';
    throw error;
  }
}

function parentOf({ events }: History): Holder | null {
  const { workflowId, runId } =
    events?.[0]?.workflowExecutionStartedEventAttributes?.parentWorkflowExecution ?? {};
  return workflowId && runId ? { workflowId, runId } : null;
}

type Event = temporal.api.history.v1.IHistoryEvent;

/** The last lease that a host gave a run, from the run's history. */
export function leaseOf({ events }: History): GrantedLease | null {
  const asked = new Set<string>();
  let lease: GrantedLease | null = null;
  for (const event of events ?? []) {
    const scheduled: Event['activityTaskScheduledEventAttributes'] =
      event.activityTaskScheduledEventAttributes;
    if (scheduled && GRANTING.has(scheduled.activityType?.name ?? ''))
      asked.add(String(event.eventId));
    const completed = event.activityTaskCompletedEventAttributes;
    if (!completed || !asked.has(String(completed.scheduledEventId))) continue;
    const granted = z.safeParse(grantedLease, firstValue(completed.result));
    if (granted.success) lease = granted.data;
  }
  return lease;
}
