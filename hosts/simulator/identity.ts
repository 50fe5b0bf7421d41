import { HoldfastError } from '../../contract/failures';
import type { VirtualFunctionIdentity } from '../../contract/ids';
import { vfOf } from './devices/physical-function';
import { eachAdapter } from './operations/each-adapter';
import type { AdapterObjects, Objects, VmState } from './state';

/** Of the first adapter that had a VF when the operation began. */
export const firstIdentityBefore = ({ adapters }: VmState): VirtualFunctionIdentity | null =>
  adapters.find(({ identityBefore }) => identityBefore !== null)?.identityBefore ?? null;

/** The identity of an adapter's VF as hardware and VSP have it now; null unless it is both allocated and assigned. */
export function identityOf(
  o: Pick<AdapterObjects, 'pf' | 'vm' | 'adapter'>,
): VirtualFunctionIdentity | null {
  const vf = vfOf(o);
  const { device } = o.adapter.vpci;
  if (vf === undefined || device === null) return null;
  return {
    vfId: vf.vfId,
    luid: device.luid,
    rid: vf.rid,
    serialNumber: vf.serialNumber,
    macAddress: vf.macAddress,
    instanceGuid: o.adapter.vpci.instanceGuid,
  };
}

/** Throws if something is pending at the VM that nothing else may begin over. */
export function refuseUnready({ vmId, adapters }: VmState): void {
  for (const { guest, vpci } of adapters) {
    if (!guest.dataPathSwitchPending && !vpci.deviceResetPending) continue;
    throw new HoldfastError(
      'NotReady',
      `${vmId} has a pending ${guest.dataPathSwitchPending ? 'data-path switch' : 'device reset'}.`,
    );
  }
}

/** What is compared with afterwards, and nothing left of an earlier operation. */
export function noteBefore(o: Objects): void {
  const { vm } = o;
  for (const of of eachAdapter(o)) {
    const { adapter } = of;
    // Re-adoption of this very VF is authorised here, so that a policy that is down later cannot strand a paused VM.
    adapter.identityBefore = identityOf(of);
    adapter.before = {
      events: adapter.guest.events.length,
      vfOutageMs: adapter.guest.vfOutageMs,
      droppedPackets: adapter.guest.droppedPackets,
    };
    adapter.vfStateRestored = false;
    adapter.vfAbandoned = null;
    adapter.path = 'kept';
    adapter.pathReason = null;
  }
  vm.record = null;
  vm.vmStateRestored = false;
  vm.functionsGivenUpBy = null;
}
