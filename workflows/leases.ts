import { workflowInfo } from '@temporalio/workflow';
import { DEAD_MAN, type Holder } from '../contract/ids';
import { failureFacts, failureType } from './failures';
import { orchestrator } from './host-steps';

/** This run, as it appears in leases. */
export function thisRun(): Holder {
  const { workflowId, runId } = workflowInfo();
  return { workflowId, runId };
}

export function parentRun(): Holder | null {
  const { parent } = workflowInfo();
  return parent === undefined ? null : { workflowId: parent.workflowId, runId: parent.runId };
}

/** Asks for a lease; if the run that holds it is closed (it was terminated, say), takes it over from that very run. */
export async function takeLease<T>(request: (takeOverFrom?: Holder) => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    const type = failureType(error);
    const holder = failureFacts(error)['holder'] as Holder | undefined;
    const busy = type === 'VmBusy' || type === 'HostBusy';
    if (!busy || holder === undefined || holder.workflowId === DEAD_MAN.workflowId) throw error;
    if (!(await orchestrator.isRunClosed(holder))) throw error;
    return request(holder);
  }
}
