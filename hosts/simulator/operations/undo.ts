import { handPartitionTo, reattachPartition } from '../devices/hypervisor-partition';
import { discardRecord } from '../devices/runtime-repository';
import * as vdev from '../devices/synthetic-network-adapter';
import { abandonNicSave } from '../devices/vm-switch';
import { custodianName } from '../devices/vm-worker-process';
import { refused } from '../../engine/refused';
import type { Objects } from '../state';
import { ofEachAdapter } from './each-adapter';
import type { StepOperation } from './operation';

const refuseAfterCrossing = ({ vm }: Objects) => {
  if (vm.pointOfNoReturn !== null) {
    throw refused(`${vm.vmId} has crossed the point of no return: from there only forward.`);
  }
};

/** The partition comes back from preservation and the committed record is discarded. */
export const unsaveVm: StepOperation<'unsaveVm'> = {
  inPlace: ({ vm }) => vm.partition.state !== 'preserved' && vm.record?.state !== 'committed',
  effect: (c) => {
    c.run('Repository.Discard', (o) => {
      refuseAfterCrossing(o);
      if (o.vm.record?.state === 'committed') discardRecord(o.vm.record);
    });
    c.run('Hypervisor.UnsavePartition', ({ vm }) => {
      if (vm.partition.state === 'preserved') reattachPartition(vm.partition);
      handPartitionTo(vm.partition, custodianName(vm.workerProcess));
    });
    return {};
  },
};

/** Each switch extension gets its own data back. */
export const restoreSwitchState = ofEachAdapter({
  inPlace: ({ adapter }) => adapter.nic.saving === 'none' && adapter.vdev.state !== 'Saved',
  effect: (c) => {
    c.run('OID_SWITCH_NIC_RESTORE', (o) => {
      refuseAfterCrossing(o);
      const { nic, vdev: device } = o.adapter;
      abandonNicSave(nic);
      if (device.state === 'Saved') vdev.unsave(device);
    });
    return {};
  },
});

export const discardSavedState: StepOperation<'discardSavedState'> = {
  inPlace: ({ vm }) => vm.record?.state !== 'writing',
  effect: (c) => {
    c.run('Repository.Discard', (o) => {
      refuseAfterCrossing(o);
      if (o.vm.record?.state === 'writing') discardRecord(o.vm.record);
    });
    return {};
  },
};
