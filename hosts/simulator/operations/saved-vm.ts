import { HoldfastError } from '../../../contract/failures';
import type { SavedRecord } from '../devices/runtime-repository';
import type { Objects } from '../state';

export const isRunning = (o: Objects): boolean => o.vm.partition.state === 'running';

/** Why the VF part of a restore has nothing to do, if so. A running VM is being given a new VF instead. */
export const noVfToRestore = (o: Objects): string | undefined =>
  isRunning(o) ? undefined : (o.vm.vfAbandoned ?? o.vm.record?.withoutVf ?? undefined);

export const recordOf = (o: Objects): SavedRecord => {
  if (o.vm.record === null)
    throw new HoldfastError('NoRecord', `${o.vm.vmId} has no saved record.`);
  return o.vm.record;
};
