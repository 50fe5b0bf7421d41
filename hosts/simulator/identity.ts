import type { VirtualFunctionIdentity } from '../../contract/ids';
import { vfOf } from './devices/physical-function';
import type { AdapterObjects, VmState } from './state';

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
