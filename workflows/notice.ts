import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  TimeoutFailure,
  workflowInfo,
} from '@temporalio/workflow';
import type { OrchestratorActivities } from '../activities/orchestrator-activities';
import { toMs } from '../contract/durations';
import type { Notice, ServiceHostSettings } from '../contract/inputs';
import { HOLDFAST_QUEUE } from '../contract/queues';
import type { NoticeResult } from '../contract/results';
import { isCancellation } from './failures';
import { noticeCalls } from './host-steps';
import { labelledActivities } from './labelled-activities';

/** How often a webhook that has not acknowledged is asked again. */
const ASK_AGAIN = { initialInterval: '2s', maximumInterval: '10s' } as const;

/**
 * Tells guests and tenants, both at a time, and waits for their acknowledgement. The run goes on without one when the
 * time is up, or when `noticing` is cancelled because the run was aborted, which ends the host's wait by itself: what
 * came of it stands in the result.
 */
export async function giveNotice(
  input: ServiceHostSettings,
  notice: Notice,
  lease: { readonly hostId: string; readonly generation: number },
  vms: readonly { readonly vmId: string }[],
  noticing: CancellationScope,
): Promise<NoticeResult> {
  const vmIds = vms.map((vm) => vm.vmId);
  const [guests, webhook] = await Promise.all([
    notice.guests ? tellGuests(notice, lease, vmIds) : { acknowledged: [], unacknowledged: [] },
    notice.webhook === undefined
      ? null
      : tellTenants(input, notice, notice.webhook, vmIds, noticing),
  ]);
  return { ...guests, webhook };
}

async function tellGuests(
  { waitUpTo }: Notice,
  lease: { readonly hostId: string; readonly generation: number },
  vmIds: readonly string[],
): Promise<Pick<NoticeResult, 'acknowledged' | 'unacknowledged'>> {
  try {
    const { evidence } = await noticeCalls(lease.hostId, toMs(waitUpTo)).noticeGuests(lease);
    const { acknowledged = [], unacknowledged = vmIds } = evidence;
    return {
      acknowledged: vmIds.filter((id) => acknowledged.includes(id)),
      unacknowledged: vmIds.filter((id) => unacknowledged.includes(id)),
    };
  } catch (error) {
    if (isCancellation(error)) throw error;
    // A host that cannot tell its guests does not keep the update waiting.
    return { acknowledged: [], unacknowledged: vmIds };
  }
}

async function tellTenants(
  { hostId, update, blackoutBudget }: ServiceHostSettings,
  { waitUpTo }: Notice,
  url: string,
  vmIds: readonly string[],
  noticing: CancellationScope,
): Promise<NoticeResult['webhook']> {
  const { noticeTenants } = labelledActivities<OrchestratorActivities>(
    {
      taskQueue: HOLDFAST_QUEUE,
      startToCloseTimeout: '15s',
      scheduleToCloseTimeout: toMs(waitUpTo),
      retry: ASK_AGAIN,
    },
    { hostId },
  );
  const told = { hostId, vmIds, update, blackoutBudget, waitUpTo };
  try {
    // Of the run id alone: a workflow id may be anything, and this becomes a header.
    const id = `notice-${workflowInfo().runId}`;
    await noticing.run(() => noticeTenants(url, id, told));
    return 'acknowledged';
  } catch (error) {
    if (isCancellation(error)) {
      if (CancellationScope.current().consideredCancelled) throw error;
      return 'timedOut';
    }
    return wasAnswered(error) ? 'timedOut' : 'undelivered';
  }
}

/** Whether the last attempt had an answer, which was no acknowledgement. */
function wasAnswered(error: unknown): boolean {
  if (error instanceof ApplicationFailure) return error.type === 'NoticeUnacknowledged';
  if (error instanceof ActivityFailure || error instanceof TimeoutFailure)
    return wasAnswered(error.cause);
  return false;
}
