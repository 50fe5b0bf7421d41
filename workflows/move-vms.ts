import { ParentClosePolicy, executeChild } from '@temporalio/workflow';
import type { ServiceHostSettings } from '../contract/inputs';
import { migrateVmId } from '../contract/queues';
import type { MigratedVm } from '../contract/results';
import { failure, failureMessage, failureType } from './failures';
import type { migrateVm } from './migrate-vm';

/**
 * VMs that the update cannot keep go to other hosts before anything of it is begun, one after the other, each to the first
 * host that can take it. What went stays there, whatever becomes of the update.
 */
export async function moveVms(
  input: ServiceHostSettings,
  vmIds: readonly string[],
): Promise<readonly MigratedVm[]> {
  const moved: MigratedVm[] = [];
  for (const vmId of vmIds) moved.push(await moveVm(input, vmId, moved));
  return moved;
}

async function moveVm(
  input: ServiceHostSettings,
  vmId: string,
  before: readonly MigratedVm[],
): Promise<MigratedVm> {
  const { hostId, blackoutBudget, faults } = input;
  const refusals: string[] = [];
  for (const toHostId of input.migrateTo) {
    try {
      const { outcome, reason, blackoutMs, vfOutageMs, guestVisibleEvents, steps } =
        await executeChild<typeof migrateVm>('migrateVm', {
          workflowId: migrateVmId(hostId, vmId),
          parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
          args: [
            {
              ...{ vmId, fromHostId: hostId, toHostId, blackoutBudget },
              faults: faults.filter((fault) => fault.vmId === vmId),
            },
          ],
          staticSummary: `migration of ${vmId} from ${hostId} to ${toHostId}`,
        });
      return {
        ...{ vmId, toHostId, outcome, reason, blackoutMs, vfOutageMs },
        ...{ guestVisibleEvents, steps },
      };
    } catch (error) {
      if (!isOfDestination(failureType(error))) throw error;
      refusals.push(`${toHostId}: ${failureMessage(error)}`);
    }
  }
  const gone = before.map((vm) => `${vm.vmId} is on ${vm.toHostId} now`);
  const why =
    refusals.length === 0
      ? `${vmId} must leave, and migrateTo names no host`
      : `${vmId} can go to none of the hosts in migrateTo`;
  throw failure('CannotKeep', [why, ...refusals, ...gone].join('; '));
}

/** Nothing was touched, and another host may take the VM. */
const isOfDestination = (type: string): boolean =>
  type === 'DestinationUnfit' || type === 'HostUnreachable' || type === 'HostQuarantined';
