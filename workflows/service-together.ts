import { CancellationScope, isCancellation } from '@temporalio/workflow';
import { hostStepCalls } from './host-steps';
import type { ServicedVms } from './serviced-vms';

interface Host {
  readonly hostId: string;
  readonly generation: number;
}

/**
 * A host-wide update: all VMs are saved, the update is committed, all are restored. The commit is armed while they run. The
 * first failure stops the run on the host: before the barrier no VM crosses, after it all come back. Ends only when every
 * VM's runs have ended.
 */
export async function serviceTogether(
  vms: ServicedVms,
  host: Host,
  vmIds: readonly string[],
): Promise<void> {
  const commitScope = new CancellationScope({ cancellable: true });
  const committing = commitScope.run(() => commit(vms, host));
  const services = vmIds.map((vmId) => vms.service(vmId));
  // Where all VMs have left there is none to let pause.
  const opening = vmIds.length > 0 ? openGate(vms, host) : undefined;
  await Promise.all(services);
  await opening;
  // The VMs are back; an update that is still waiting for them, or stuck, has nothing to wait for any more.
  if (vmIds.length > 0) commitScope.cancel();
  await committing;
}

/** All steps of all VMs are issued, and the commit; that somebody is there who wants them to pause is said while they run. */
async function openGate(vms: ServicedVms, host: Host): Promise<void> {
  try {
    await hostStepCalls(host.hostId).openGate(host);
  } catch (error) {
    await vms.stopFor('the VMs could not be let pause', error);
  }
}

async function commit(vms: ServicedVms, host: Host): Promise<void> {
  const { commitUpdate, rollBackUpdate } = hostStepCalls(host.hostId);
  try {
    await commitUpdate(host);
  } catch (error) {
    await CancellationScope.nonCancellable(() => rollBackUpdate(host));
    if (!isCancellation(error)) await vms.stopFor('the update could not be committed', error);
  }
}
