import { ParentClosePolicy, executeChild, isCancellation } from '@temporalio/workflow';
import type { FailureType } from '../contract/failures';
import type { ServiceHostSettings } from '../contract/inputs';
import { migrateVmId } from '../contract/queues';
import type { MigratedVm, VmVerdict } from '../contract/results';
import { failure, failureMessage, failureType } from './failures';
import type { migrateVm } from './migrate-vm';

/** Another host may take the VM all the same. */
const TRIES_ANOTHER: ReadonlySet<FailureType> = new Set<FailureType>([
  'DestinationUnfit',
  'HostBusy',
  'HostUnreachable',
  'HostQuarantined',
  'UnknownHost',
]);

/**
 * Moves the VMs away whose VFs an update cannot keep, one after the other and before anything is done to the host. Each goes
 * to the first host that takes it; one that no host takes ends the run, with those that have moved where they are.
 */
export async function migrateVms(
  input: ServiceHostSettings,
  verdicts: readonly VmVerdict[],
): Promise<readonly MigratedVm[]> {
  const migrated: MigratedVm[] = [];
  for (const { vmId, verdict } of verdicts)
    if (verdict === 'migrate') migrated.push(await migrateToFirst(input, vmId));
  return migrated;
}

async function migrateToFirst(input: ServiceHostSettings, vmId: string): Promise<MigratedVm> {
  const { hostId: fromHostId, migrateTo, blackoutBudget, faults } = input;
  const refusals: string[] = [];
  for (const toHostId of migrateTo.filter((host) => host !== fromHostId)) {
    const workflowId = migrateVmId(fromHostId, vmId);
    try {
      const { outcome } = await executeChild<typeof migrateVm>('migrateVm', {
        workflowId,
        args: [
          {
            vmId,
            fromHostId,
            toHostId,
            blackoutBudget,
            faults: faults.filter((fault) => fault.vmId === vmId),
          },
        ],
        // A parent that is gone must not tear a VM away that is between two hosts.
        parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
        staticSummary: `migrate ${vmId} to ${toHostId}`,
      });
      return { vmId, toHostId, outcome, workflowId };
    } catch (error) {
      if (isCancellation(error) || !TRIES_ANOTHER.has(failureType(error))) throw error;
      refusals.push(`${toHostId}: ${failureMessage(error)}`);
    }
  }
  throw failure(
    'CannotKeep',
    `${vmId} of ${fromHostId} cannot stay, and no host of migrateTo takes it${refusals.length === 0 ? ' (it names none)' : `: ${refusals.join('; ')}`}.`,
  );
}
