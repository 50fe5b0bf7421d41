import type { VirtualFunctionIdentity } from '../../contract/ids';
import { vfOf } from './devices/network-adapter';
import type { Objects } from './state';

/** The identity of the VM's VF as hardware and VSP have it now; null unless it is both allocated and assigned. */
export function identityOf(o: Pick<Objects, 'pf' | 'vm'>): VirtualFunctionIdentity | null {
  const vf = vfOf(o.pf, o.vm.vmId);
  const device = o.vm.vpci.device;
  if (vf === undefined || device === null) return null;
  return {
    vfId: vf.vfId,
    luid: device.luid,
    rid: vf.rid,
    serialNumber: vf.serialNumber,
    macAddress: vf.macAddress,
    instanceGuid: o.vm.vpci.instanceGuid,
  };
}
