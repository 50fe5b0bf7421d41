import { HoldfastError } from '../../../contract/failures';
import type { SavedRecord } from '../devices/runtime-repository';
import type { AdapterObjects, Objects } from '../state';

export const isRunning = (o: Objects): boolean => o.vm.partition.state === 'running';

export const noVfWanted = ({ adapter }: AdapterObjects): string | undefined =>
  adapter.wantsVf ? undefined : 'the adapter is to have no VF';

export const hasNoNic = ({ adapter }: AdapterObjects): string | undefined =>
  adapter.kind === 'nvme' ? 'an NVMe controller has no NIC at the VM switch' : undefined;

/** Why the VF part of a restore has nothing to do, if so. A running VM is being given a new VF instead. */
export function noVfToRestore(o: AdapterObjects): string | undefined {
  const { vm, adapter } = o;
  if (!adapter.wantsVf) return noVfWanted(o);
  if (isRunning(o)) return undefined;
  const saved = vm.record?.blocks.adapters[adapter.adapterId];
  return adapter.vfAbandoned ?? saved?.withoutVf ?? undefined;
}

export const recordOf = (o: Objects): SavedRecord => {
  if (o.vm.record === null)
    throw new HoldfastError('NoRecord', `${o.vm.vmId} has no saved record.`);
  return o.vm.record;
};
