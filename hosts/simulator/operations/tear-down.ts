import { handPartitionTo } from '../devices/hypervisor-partition';
import * as vdev from '../devices/synthetic-network-adapter';
import { deleteNic, disconnectNic } from '../devices/vm-switch';
import { resetBusInterface } from '../devices/vpci-vsp';
import { exitWorkerProcess } from '../devices/vm-worker-process';
import { refused } from '../../engine/refused';
import { markDown } from '../../engine/gates';
import type { VmState } from '../state';
import { ofEachAdapter, runOnEach } from './each-adapter';
import type { StepOperation } from './operation';
import { hasNoNic } from './saved-vm';

/** From the claim of the record, or a cold start, on, worker process and interface are the successor's. */
const restoreHasBegun = (vm: VmState): string | undefined =>
  vm.record?.state === 'claimed' || vm.record?.state === 'discarded'
    ? 'the restore has begun'
    : undefined;

/** Claims 6 and 7. A left-over interface would make the successor's D0 entry fail; no FLR, no unassign. */
export const resetVpciBusInterface = ofEachAdapter({
  notApplicable: ({ vm, adapter }) =>
    restoreHasBegun(vm) ??
    (adapter.vpci.interface.state === 'none' ? 'the bus interface is inactive already' : undefined),
  inPlace: ({ adapter }) => adapter.vpci.interface.state === 'none',
  effect: (c) =>
    c.run('VPCI.ResetBusInterface', ({ vm, adapter }) => {
      if (vm.pointOfNoReturn === null) {
        throw refused(
          'The bus interface cannot be reset before the point of no return is crossed.',
        );
      }
      // A VF that was taken away meanwhile has taken its interface with it.
      if (adapter.vpci.interface.state !== 'none') resetBusInterface(adapter.vpci);
      return {};
    }),
});

export const disconnectSyntheticAdapter = ofEachAdapter({
  notApplicable: hasNoNic,
  inPlace: ({ adapter }) => adapter.nic.state === 'deleted',
  effect: (c) => {
    c.run('OID_SWITCH_NIC_DISCONNECT', ({ vm, adapter }) => {
      if (vm.pointOfNoReturn === null) {
        throw refused(
          'The switch NIC cannot be disconnected before the point of no return is crossed.',
        );
      }
      const { nic, vpci } = adapter;
      if (nic.state === 'connected') disconnectNic(nic, vpci.device !== null);
    });
    c.run('OID_SWITCH_NIC_DELETE', ({ adapter }) => {
      deleteNic(adapter.nic);
    });
    return {};
  },
});

/** The VDEV goes and the worker process ends; partition, memory map and IOMMU domain go into the hypervisor's custody. */
export const tearDownSyntheticAdapter: StepOperation<'tearDownSyntheticAdapter'> = {
  handsLeaseOn: true,
  notApplicable: ({ vm }) => restoreHasBegun(vm),
  inPlace: ({ vm }) => vm.workerProcess.state === 'exited',
  effect: (c) => {
    runOnEach(c, 'VDEV.Teardown', ({ vm, adapter }) => {
      if (vm.record?.commit == null || vm.pointOfNoReturn === null) {
        throw refused(
          'The adapter cannot be torn down without a committed record and a crossed point of no return.',
        );
      }
      if (adapter.vdev.state !== 'TornDown') vdev.tearDown(adapter.vdev);
    });
    return c.run('VMWP.Exit', ({ host, vm }) => {
      const detail =
        vm.record?.mode === 'conventional'
          ? 'Save'
          : 'FastSavePreservePartitionHandleTransferNetworking';
      exitWorkerProcess(vm.workerProcess, detail);
      handPartitionTo(vm.partition, 'hypervisor');
      markDown(host, vm);
      return { exitDetail: detail };
    });
  },
};
